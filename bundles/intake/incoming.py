"""Files that are already on this host, copied into quarantine to be imported. They are read, never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from bundles.errors import StorageFullError
from bundles.format.model.limits import MIB
from bundles.intake.errors import IntakePathError
from bundles.intake.services import Arrived
from bundles.sources.store import NotPlainError, open_beneath, relative_parts
from bundles.storage import bundle_files
from bundles.uploads import quarantine

PASSWORD_SUFFIX = ".password"  # noqa: S105 # of a file name
REFUSED = "This path is not that of a regular file below ORCH_INTAKE_DIR, without links."


def named(path: str) -> Arrived:
    """Copy a file below ORCH_INTAKE_DIR, opened by directory handles so that no link leads out of it.

    Args:
        path: absolute, or relative to ORCH_INTAKE_DIR; untrusted.

    Raises:
        IntakePathError: there is no such folder or file, or the way to it has a link or `..`.
        StorageFullError: there is no room; nothing is kept.
    """
    root = settings.ORCH_INTAKE_DIR
    if root is None:
        raise IntakePathError("ORCH_INTAKE_DIR is not set, so no file on this host can be named.")
    parts = relative_parts(root, path)
    if not parts or parts[-1].endswith(PASSWORD_SUFFIX):
        raise IntakePathError(REFUSED)
    try:
        descriptor = open_beneath(root, parts)
    except (OSError, NotPlainError) as error:
        raise IntakePathError(REFUSED) from error
    return copied(descriptor, parts[-1])


def copied(descriptor: int, name: str) -> Arrived:
    """Copy an open file into quarantine and hash it.

    Args:
        descriptor: a regular file, open for reading; closed here.
        name: as it was delivered.

    Raises:
        StorageFullError: there is no room; nothing is kept.
        OSError: it cannot be read; nothing is kept.
    """
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        free = bundle_files.room()
        if free is not None and os.fstat(file.fileno()).st_size > free:
            raise StorageFullError("There is no room for a file of this size. Nothing was kept of it.")
        upload = quarantine.keep(_blocks(file.fileno()), most=None)
    return Arrived(file=Path(upload.path), name=name, size=upload.size, sha256=upload.sha256)


def _blocks(descriptor: int) -> Iterator[bytes]:
    while block := os.read(descriptor, MIB):
        yield block
