"""Opens an artifact's bytes: from the artifact store if it has the file, else from the Forensic service.

For a partial bundle every artifact is checked before packing starts, since a packed file cannot be removed: local files
are read completely, remote ones are downloaded to the staging directory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from bundles.sources import faults, store
from bundles.sources.adapters.protocol import Adapter, ArtifactRecord
from bundles.sources.collect import Artifact, Check
from bundles.sources.limits import SourceLimits
from bundles.sources.remote import RemoteReader

FOLDER = "fetched"
BLOCK_BYTES = 1024 * 1024


class ContentReader:
    """Finds and opens artifacts.

    Args:
        root: FORENSIC_STORAGE_PATH.
        connect: makes a new adapter for the artifacts.
        limits: how often a broken answer is continued.
    """

    def __init__(self, root: Path, connect: Callable[[], Adapter], limits: SourceLimits) -> None:
        self._root = root
        self._connect = connect
        self._limits = limits

    def locate(self, record: ArtifactRecord) -> Artifact:
        """The artifact with its opener; a local file is opened once to detect a wrong size early.

        Raises:
            jobs.errors.RetryableError: the store cannot be read.
            jobs.errors.PermanentError: the stored file is a link, is not a regular file, or has another size.
        """
        with _faults_of_the_store(record):
            parts = store.find(self._root, record.locations)
        if not parts:
            return _artifact(record, lambda: cast("BinaryIO", self._remote(record)))

        def read_stored() -> BinaryIO:
            with _faults_of_the_store(record):
                descriptor = store.open_beneath(self._root, parts)
            size_bytes = os.fstat(descriptor).st_size if record.size is None else record.size
            return cast("BinaryIO", store.StoredReader(descriptor, size_bytes, record.artifact_id))

        read_stored().close()
        return _artifact(record, read_stored)

    def _remote(self, record: ArtifactRecord) -> RemoteReader:
        return RemoteReader(self._connect(), faults.ARTIFACTS, record, self._limits)

    def prove(self, record: ArtifactRecord, staging: Path, check: Check) -> Artifact:
        """Like `locate`, but reads the content and compares its hash; a remote file is stored in `staging`.

        Raises:
            jobs.errors.RetryableError: it cannot be read now.
            jobs.errors.PermanentError: it cannot be read, or its size or hash differ from the record.
        """
        opener = self.locate(record).open
        digest, size_bytes = hashlib.sha256(), 0
        with opener() as reader, ExitStack() as opened:
            kept: BinaryIO | None = None
            if isinstance(reader, RemoteReader):
                copy = staging / FOLDER / record.artifact_id
                copy.parent.mkdir(exist_ok=True)
                kept = opened.enter_context(copy.open("wb"))
                opener = partial(_open_copy, copy)
            while block := reader.read(BLOCK_BYTES):
                check()
                digest.update(block)
                size_bytes += len(block)
                if kept:
                    kept.write(block)
        if record.sha256 not in {None, digest.hexdigest()}:
            raise faults.invalid(
                faults.ARTIFACTS, f"the content of artifact {record.artifact_id} has another SHA-256 than its record."
            )
        return _artifact(replace(record, size=size_bytes, sha256=digest.hexdigest()), opener)


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


def _open_copy(copy: Path) -> BinaryIO:
    return copy.open("rb")


def _artifact(record: ArtifactRecord, opener: Callable[[], BinaryIO]) -> Artifact:
    return Artifact(
        artifact_id=record.artifact_id,
        name=record.name,
        size=record.size or 0,
        sha256=record.sha256 or "",
        open=opener,
    )
