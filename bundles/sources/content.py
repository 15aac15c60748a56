"""Finds artifacts' bytes: in the artifact store if it has the file, else fetched from the artifacts' system.

Everything remote is fetched to the staging folder before packing starts, for partial and for whole bundles. A file in
the store is packed from there; for a partial bundle it is read once before, as a packed file cannot be removed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from bundles.sources import faults, store
from bundles.sources.adapters.protocol import ArtifactRecord
from bundles.sources.collect import Artifact, Check
from bundles.sources.transfer import Received

BLOCK_BYTES = 1024 * 1024


class StoreReader:
    """Finds and opens artifacts in the artifact store.

    Args:
        root: FORENSIC_STORAGE_PATH.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def locate(self, record: ArtifactRecord) -> Artifact | None:
        """The artifact with its opener, None if the store does not have it; opened once to detect a wrong size early.

        Raises:
            jobs.errors.RetryableError: the store cannot be read.
            jobs.errors.PermanentError: the stored file is a link, is not a regular file, or has another size.
        """
        with _faults_of_the_store(record):
            parts = store.find(self._root, record.locations)
        if not parts:
            return None

        def read_stored() -> BinaryIO:
            with _faults_of_the_store(record):
                descriptor = store.open_beneath(self._root, parts)
            size_bytes = os.fstat(descriptor).st_size if record.size is None else record.size
            return cast("BinaryIO", store.StoredReader(descriptor, size_bytes, record.artifact_id))

        read_stored().close()
        return _artifact(record, read_stored)

    def prove(self, record: ArtifactRecord, found: Artifact, check: Check) -> Artifact:
        """Read an artifact that `locate` found and compare its hash.

        Raises:
            jobs.errors.RetryableError: it cannot be read now.
            jobs.errors.PermanentError: it cannot be read, or its size or hash differ from the record.
        """
        digest, size_bytes = hashlib.sha256(), 0
        with found.open() as reader:
            while block := reader.read(BLOCK_BYTES):
                check()
                digest.update(block)
                size_bytes += len(block)
        if record.sha256 not in {None, digest.hexdigest()}:
            raise faults.invalid(
                faults.ARTIFACTS, f"the content of artifact {record.artifact_id} has another SHA-256 than its record."
            )
        return _artifact(replace(record, size=size_bytes, sha256=digest.hexdigest()), found.open)


def fetched(record: ArtifactRecord, received: Received) -> Artifact:
    """The artifact of a content that was fetched."""
    return _artifact(replace(record, size=received.size, sha256=received.sha256), partial(_open_fetched, received.file))


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


def _open_fetched(file: Path) -> BinaryIO:
    return file.open("rb")


def _artifact(record: ArtifactRecord, opener: Callable[[], BinaryIO]) -> Artifact:
    return Artifact(
        artifact_id=record.artifact_id,
        name=record.name,
        size=record.size or 0,
        sha256=record.sha256 or "",
        open=opener,
    )
