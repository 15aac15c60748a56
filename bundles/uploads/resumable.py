"""Resumable uploads: received into quarantine in pieces; an interrupted upload continues where it stopped.

What a complete upload is for was said when it began: a bundle is verified here (`finish`), a file to import becomes an
intake (`bundles.intake.uploads`).

The received bytes are a `.part` file that only grows. Its length is where the next piece belongs, so no piece is
written twice or in the wrong place. The sender has a signed ticket, without which nobody can add to an upload.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.core import signing
from django.db import transaction

from bundles.errors import StorageFullError, UploadNotFoundError, UploadOffsetError, UploadTooLargeError
from bundles.format.model.limits import MIB
from bundles.format.writing.publish import sync_directory
from bundles.storage import bundle_files
from bundles.uploads import quarantine, verify_upload
from foundation.disk import is_disk_full
from foundation.principal import Principal
from jobs.models import Job

VERIFY, IMPORT = "verify", "import"
NEEDS = {VERIFY: "bundles.verify_bundle", IMPORT: "bundles.create_bundle"}
PIECE_BYTES = 8 * MIB
READ_BYTES = MIB
SALT = "bundles.uploads.resumable"


class Readable(Protocol):
    """The interface of a request's body."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""


@dataclass(frozen=True)
class _PendingUpload:
    """An upload described by its ticket."""

    upload_id: str
    size: int
    name: str
    purpose: str

    @property
    def part(self) -> Path:
        """The file of an incomplete upload."""
        return bundle_files.quarantine() / f"{self.upload_id}.part"

    @property
    def whole(self) -> Path:
        """The file of a complete upload."""
        return self.part.with_suffix(".bundle")


@dataclass(frozen=True)
class Received:
    """A complete upload in quarantine: its id (32 hex digits), its file, the sender's name for it, and its bytes."""

    upload_id: str
    path: Path
    name: str
    size: int


def begin(principal: Principal, name: str, size: int, *, purpose: str = VERIFY) -> str:
    """Begin an upload.

    Args:
        principal: the sender; needs the permission of the purpose.
        name: the sender's file name; never used as a path.
        size: of the file, in bytes.
        purpose: `VERIFY` or `IMPORT`.

    Returns:
        Its ticket, valid for a week.

    Raises:
        AccessDeniedError: the principal may not upload.
        UploadTooLargeError: larger than ORCH_MAX_UPLOAD_MB.
        StorageFullError: there is not enough room.
    """
    principal.require(NEEDS[purpose])
    if size > settings.ORCH_MAX_UPLOAD_BYTES:
        raise UploadTooLargeError("The file is larger than ORCH_MAX_UPLOAD_MB allows. Nothing was sent.")
    free = bundle_files.room()
    if free is not None and size > free:
        raise StorageFullError("There is no room for a file of this size. Nothing was sent.")
    pending = _PendingUpload(secrets.token_hex(16), size, name[:255], purpose)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(pending.part, flags, 0o640))
    fields = {"id": pending.upload_id, "size": size, "name": pending.name, "for": principal.name, "purpose": purpose}
    return signing.dumps(fields, salt=SALT)


def offset(principal: Principal, ticket: str) -> int:
    """The number of bytes received.

    Raises:
        AccessDeniedError: the principal may not upload.
        UploadNotFoundError: the ticket is invalid, expired or of another principal, or the upload was swept.
    """
    pending = _pending_upload(principal, ticket)
    if pending.whole.exists():
        return pending.size
    try:
        return pending.part.lstat().st_size
    except OSError as error:
        raise _not_found() from error


def append(principal: Principal, ticket: str, at: int, stream: Readable) -> int:
    """Add the next bytes of an upload.

    Args:
        principal: the sender.
        ticket: from `begin`.
        at: offset of the bytes.
        stream: the bytes, at most `PIECE_BYTES`; if it is interrupted, the bytes received so far are kept.

    Returns:
        The number of bytes received in all.

    Raises:
        AccessDeniedError: the principal may not upload.
        UploadNotFoundError: see `offset`.
        UploadOffsetError: wrong offset, too many bytes, or another piece is being written now.
        StorageFullError: the disk is full; the bytes received so far are kept.
    """
    pending = _pending_upload(principal, ticket)
    with _locked(pending) as descriptor:
        here = os.fstat(descriptor).st_size
        if at != here:
            raise UploadOffsetError("The next bytes of this upload belong elsewhere.", here)
        most = min(pending.size, here + PIECE_BYTES)
        try:
            while block := stream.read(READ_BYTES):
                if here + len(block) > most:
                    raise UploadOffsetError("The upload or this piece has more bytes than allowed.", here)
                _write(descriptor, block, here)
                here += len(block)
        except OSError as error:
            if is_disk_full(error):
                raise StorageFullError(
                    "There is no room left. Once there is, upload the file again to continue."
                ) from error
            raise
    return here


def finish(principal: Principal, ticket: str) -> Job:
    """Queue the verification of a complete upload; repeated calls return the same job.

    Raises:
        AccessDeniedError: the principal may not upload.
        UploadNotFoundError: see `offset`.
        UploadOffsetError: bytes are still missing.
    """
    received = complete(principal, ticket, VERIFY)
    with transaction.atomic():
        upload = quarantine.Upload(received.upload_id, str(received.path), received.size, "")
        enqueued = verify_upload.request(principal, upload, received.name)
        if enqueued.created:
            quarantine.record_custody(principal, upload, received.name)
    return enqueued.job


def identity(principal: Principal, ticket: str, purpose: str) -> str:
    """The id of an upload, whether or not its file is still in quarantine.

    Raises:
        AccessDeniedError: the principal may not upload for this purpose.
        UploadNotFoundError: see `offset`; also if it began for another purpose.
    """
    principal.require(NEEDS[purpose])
    pending = _pending_upload(principal, ticket)
    if pending.purpose != purpose:
        raise _not_found()
    return pending.upload_id


def complete(principal: Principal, ticket: str, purpose: str) -> Received:
    """Close a complete upload; repeated calls return the same.

    Raises:
        AccessDeniedError, UploadNotFoundError: see `identity`.
        UploadOffsetError: bytes are still missing.
    """
    identity(principal, ticket, purpose)
    pending = _pending_upload(principal, ticket)
    if not pending.whole.exists():
        with _locked(pending) as descriptor:
            here = os.fstat(descriptor).st_size
            if here != pending.size:
                raise UploadOffsetError("The upload is not complete.", here)
            os.fsync(descriptor)
            pending.part.rename(pending.whole)
            sync_directory(pending.whole.parent)
    return Received(pending.upload_id, pending.whole, pending.name, pending.size)


def _pending_upload(principal: Principal, ticket: str) -> _PendingUpload:
    if not any(principal.may(permission) for permission in NEEDS.values()):
        principal.require(NEEDS[VERIFY])
    try:
        fields = signing.loads(ticket, salt=SALT, max_age=quarantine.KEPT_S)
    except signing.BadSignature as error:
        raise _not_found() from error
    if fields["for"] != principal.name:
        raise _not_found()
    principal.require(NEEDS[fields["purpose"]])
    return _PendingUpload(fields["id"], fields["size"], fields["name"], fields["purpose"])


@contextmanager
def _locked(pending: _PendingUpload) -> Iterator[int]:
    """The incomplete file, open for writing under an exclusive lock."""
    try:
        descriptor = os.open(pending.part, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _not_found() from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink == 0:
            raise _not_found()
        yield descriptor
    except BlockingIOError as error:
        here = os.fstat(descriptor).st_size
        raise UploadOffsetError(
            "A piece of this upload is being written; request the offset again later.", here
        ) from error
    finally:
        os.close(descriptor)


def _write(descriptor: int, block: bytes, at: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _not_found() -> UploadNotFoundError:
    return UploadNotFoundError("This upload is no longer known here. Choose the file again to start over.")
