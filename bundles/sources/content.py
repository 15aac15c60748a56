"""Where an artifact's bytes come from: the artifact store when it has the file, the Forensic service otherwise.

For a partial bundle every artifact is proved before it is promised, as nothing can be taken back once it is packed:
local files are read through, remote ones are brought into the staging directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from bundles.sources import faults, store
from bundles.sources.artifacts import ArtifactRecord
from bundles.sources.client import SourceClient
from bundles.sources.collect import Artifact, Check
from bundles.sources.remote import RemoteReader

FOLDER = "fetched"
BLOCK_BYTES = 1024 * 1024


class ContentReader:
    """Finds and opens artifacts.

    Args:
        root: FORENSIC_STORAGE_PATH.
        connect: a new client of the Forensic service.
    """

    def __init__(self, root: Path, connect: Callable[[], SourceClient]) -> None:
        self._root = root
        self._connect = connect

    def locate(self, record: ArtifactRecord) -> Artifact:
        """The artifact with a way to open it; a local file is opened once now, to find a wrong size early.

        Raises:
            jobs.errors.RetryableError: the store cannot be read.
            jobs.errors.PermanentError: the stored file is a link or no regular file, or has another size.
        """
        with _faults_of_the_store(record):
            parts = store.find(self._root, record.locations)
        if not parts:
            return _artifact(record, lambda: cast("BinaryIO", RemoteReader(self._connect(), record)))

        def read_stored() -> BinaryIO:
            with _faults_of_the_store(record):
                descriptor = store.open_beneath(self._root, parts)
            return cast("BinaryIO", store.StoredReader(descriptor, record.size, record.artifact_id))

        read_stored().close()
        return _artifact(record, read_stored)

    def prove(self, record: ArtifactRecord, staging: Path, check: Check) -> Artifact:
        """Like `locate`, with the content read through and its hash compared; a remote one is kept in `staging`.

        Raises:
            jobs.errors.RetryableError: it cannot be had now.
            jobs.errors.PermanentError: it cannot be had, or its size or hash differ from the record.
        """
        artifact = self.locate(record)
        digest = hashlib.sha256()
        with artifact.open() as reader, ExitStack() as opened:
            kept: BinaryIO | None = None
            if isinstance(reader, RemoteReader):
                place = staging / FOLDER / record.artifact_id
                place.parent.mkdir(exist_ok=True)
                kept = opened.enter_context(place.open("wb"))
                artifact = _artifact(record, lambda: place.open("rb"))
            while block := reader.read(BLOCK_BYTES):
                check()
                digest.update(block)
                if kept:
                    kept.write(block)
        if digest.hexdigest() != record.sha256:
            raise faults.invalid(
                faults.ARTIFACTS, f"the content of artifact {record.artifact_id} has another SHA-256 than its record."
            )
        return artifact


@contextmanager
def _faults_of_the_store(record: ArtifactRecord) -> Iterator[None]:
    try:
        yield
    except store.NotPlainError:
        what = f"the stored file of artifact {record.artifact_id} is a link or not a regular file."
        raise faults.invalid(faults.ARTIFACTS, what) from None
    except OSError:
        what = f"the stored file of artifact {record.artifact_id} cannot be read."
        raise faults.unavailable(faults.ARTIFACTS, what) from None


def _artifact(record: ArtifactRecord, opener: Callable[[], BinaryIO]) -> Artifact:
    return Artifact(
        artifact_id=record.artifact_id, name=record.name, size=record.size, sha256=record.sha256, open=opener
    )
