"""Receives uploaded files into quarantine and hashes them; a job verifies a bundle there, an import moves a file on."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import transaction

from bundles.errors import StorageFullError, UploadTooLargeError
from bundles.format.model.limits import MIB
from bundles.format.writing.publish import sync_directory
from bundles.storage import bundle_files, store_identity
from custody import chain
from foundation.disk import is_disk_full
from foundation.principal import Principal
from jobs.models import ACTIVE, Job

KEPT_S = 7 * 24 * 3600
_OURS = re.compile(r"[0-9a-f]{32}\.(part|bundle)")


@dataclass(frozen=True)
class Upload:
    """A file in quarantine: its id, path, size in bytes and SHA-256 (hex)."""

    upload_id: str
    path: str
    size: int
    sha256: str


def receive(principal: Principal, file: IO[bytes] | Iterable[bytes], name: str) -> Upload:
    """Store an upload.

    Args:
        principal: the sender; needs `bundles.verify_bundle`.
        file: its bytes, as a file or in blocks.
        name: the sender's file name; recorded in custody only, never used as a path.

    Raises:
        AccessDeniedError: the principal may not upload.
        UploadTooLargeError: it is larger than ORCH_MAX_UPLOAD_MB; nothing is kept.
        StorageFullError: the disk is full; nothing is kept.
    """
    principal.require("bundles.verify_bundle")
    upload = keep(file, most=settings.ORCH_MAX_UPLOAD_BYTES)
    try:
        with transaction.atomic():
            record_custody(principal, upload, name)
    except BaseException:
        Path(upload.path).unlink(missing_ok=True)
        raise
    return upload


def keep(file: IO[bytes] | Iterable[bytes], *, most: int | None) -> Upload:
    """Store a file in quarantine, synced, and hash it; custody is the caller's.

    Args:
        file: its bytes, as a file or in blocks.
        most: bytes it may have; None for no bound.

    Raises:
        UploadTooLargeError: it is larger than `most`; nothing is kept.
        StorageFullError: the disk is full; nothing is kept.
    """
    upload_id = secrets.token_hex(16)
    part = bundle_files.quarantine() / f"{upload_id}.part"
    path = part.with_suffix(".bundle")
    try:
        size, digest = _store(part, _blocks(file), most)
        part.rename(path)
        sync_directory(path.parent)
    except BaseException as error:
        part.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and is_disk_full(error):
            raise StorageFullError("There is no room left for the upload. Nothing was kept of it.") from error
        raise
    return Upload(upload_id, str(path), size, digest)


def record_custody(principal: Principal, upload: Upload, name: str) -> None:
    """Record a complete upload in custody."""
    details = {"name": name[:255], "size": upload.size}
    chain.record(principal, "bundle.upload", "upload", upload.upload_id, digest=upload.sha256, details=details)


def sweep() -> int:
    """Remove uploads that are older than a week and not used by an active job.

    Returns:
        The number removed; 0 if this is not the database's store, whose jobs are then unknown.
    """
    if store_identity.hindrance(store_identity.BUNDLES):
        return 0
    directory = bundle_files.output_dir() / bundle_files.QUARANTINE
    if not directory.is_dir():
        return 0
    old = [entry for entry in directory.iterdir() if _OURS.fullmatch(entry.name) and _age_s(entry) > KEPT_S]
    if not old:
        return 0
    named = {
        Path(str(path)).name
        for path in Job.objects.filter(status__in=ACTIVE).values_list("payload__bundle_path", flat=True)
        if path
    }
    removable = [entry for entry in old if entry.name not in named]
    for entry in removable:
        entry.unlink(missing_ok=True)
    return len(removable)


def _store(part: Path, blocks: Iterator[bytes], most: int | None) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "wb") as out:
        for block in blocks:
            size += len(block)
            if most is not None and size > most:
                raise UploadTooLargeError("The file is larger than ORCH_MAX_UPLOAD_MB allows. Nothing was kept of it.")
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(descriptor)
    return size, digest.hexdigest()


def _blocks(file: IO[bytes] | Iterable[bytes]) -> Iterator[bytes]:
    chunks: Any = getattr(file, "chunks", None)  # Django's uploaded files
    if chunks is not None:
        yield from chunks(MIB)
        return
    read: Any = getattr(file, "read", None)
    if read is None:
        yield from file
        return
    while block := read(MIB):
        yield block


def _age_s(entry: Path) -> float:
    """Seconds since a file was written; 0 if it is missing or not a regular file."""
    try:
        found = entry.lstat()
    except OSError:
        return 0.0
    return time.time() - found.st_mtime if stat.S_ISREG(found.st_mode) else 0.0
