"""Uploads in pieces: into quarantine like every other, but one that breaks off goes on where it stopped.

What was received is a `.part` file that only grows; how long it is decides where the next piece belongs, so no piece is
written twice or at the wrong place. Whoever began an upload holds its signed ticket; nobody else can add to it.
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

PIECE_BYTES = 8 * MIB
READ_BYTES = MIB
SALT = "bundles.uploads.resumable"


class Readable(Protocol):
    """What a request's body can do."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


@dataclass(frozen=True)
class _Begun:
    """An upload that its sender holds the ticket of."""

    upload_id: str
    size: int
    name: str

    @property
    def part(self) -> Path:
        """Where its bytes are until they are all here."""
        return bundle_files.quarantine() / f"{self.upload_id}.part"

    @property
    def whole(self) -> Path:
        """Where the file is once it is whole."""
        return self.part.with_suffix(".bundle")


def begin(principal: Principal, name: str, size: int) -> str:
    """Make room for an upload.

    Args:
        principal: who sends it; needs `bundles.verify_bundle`.
        name: what the sender calls it; never used as a path.
        size: how many bytes it will have.

    Returns:
        Its ticket, good for a week.

    Raises:
        AccessDeniedError: the principal may not.
        UploadTooLargeError: larger than ORCH_MAX_UPLOAD_MB.
        StorageFullError: there is not that much room.
    """
    principal.require("bundles.verify_bundle")
    if size > settings.ORCH_MAX_UPLOAD_BYTES:
        raise UploadTooLargeError("The file is larger than ORCH_MAX_UPLOAD_MB allows. Nothing was sent.")
    free = bundle_files.room()
    if free is not None and size > free:
        raise StorageFullError("There is no room for a file of this size. Nothing was sent.")
    begun = _Begun(secrets.token_hex(16), size, name[:255])
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(begun.part, flags, 0o640))
    told = {"id": begun.upload_id, "size": size, "name": begun.name, "for": principal.name}
    return signing.dumps(told, salt=SALT)


def offset(principal: Principal, ticket: str) -> int:
    """How many bytes of an upload are here.

    Raises:
        AccessDeniedError: the principal may not.
        UploadNotFoundError: the ticket names no upload of this principal's that is still here.
    """
    begun = _begun(principal, ticket)
    if begun.whole.exists():
        return begun.size
    try:
        return begun.part.lstat().st_size
    except OSError as error:
        raise _gone() from error


def append(principal: Principal, ticket: str, at: int, stream: Readable) -> int:
    """Add the next bytes of an upload.

    Args:
        principal: who began it.
        ticket: what `begin` gave.
        at: where the bytes belong.
        stream: the bytes, at most `PIECE_BYTES`; what came before it broke off is kept.

    Returns:
        How many bytes are here now.

    Raises:
        AccessDeniedError: the principal may not.
        UploadNotFoundError: as `offset`.
        UploadOffsetError: they do not belong there, reach beyond the end, or another piece is being written now.
        StorageFullError: the disk is full; what came before is kept.
    """
    begun = _begun(principal, ticket)
    with _locked(begun) as descriptor:
        here = os.fstat(descriptor).st_size
        if at != here:
            raise UploadOffsetError("The next bytes of this upload belong elsewhere.", here)
        most = min(begun.size, here + PIECE_BYTES)
        try:
            while block := stream.read(READ_BYTES):
                if here + len(block) > most:
                    raise UploadOffsetError("The upload has more bytes than were announced, or the piece has.", here)
                _write(descriptor, block, here)
                here += len(block)
        except OSError as error:
            if is_disk_full(error):
                raise StorageFullError("There is no room left. Upload it again when there is: it goes on.") from error
            raise
    return here


def finish(principal: Principal, ticket: str) -> Job:
    """Have a whole upload verified. Asked again, it gives the same job.

    Raises:
        AccessDeniedError: the principal may not.
        UploadNotFoundError: as `offset`.
        UploadOffsetError: bytes are missing still.
    """
    begun = _begun(principal, ticket)
    if not begun.whole.exists():
        with _locked(begun) as descriptor:
            here = os.fstat(descriptor).st_size
            if here != begun.size:
                raise UploadOffsetError("The upload is not complete.", here)
            os.fsync(descriptor)
            begun.part.rename(begun.whole)
            sync_directory(begun.whole.parent)
    with transaction.atomic():
        upload = quarantine.Upload(begun.upload_id, str(begun.whole), begun.size, "")
        enqueued = verify_upload.request(principal, upload, begun.name)
        if enqueued.created:
            quarantine.tell(principal, upload, begun.name)
    return enqueued.job


def _begun(principal: Principal, ticket: str) -> _Begun:
    principal.require("bundles.verify_bundle")
    try:
        told = signing.loads(ticket, salt=SALT, max_age=quarantine.KEPT_S)
    except signing.BadSignature as error:
        raise _gone() from error
    if told["for"] != principal.name:
        raise _gone()
    return _Begun(told["id"], told["size"], told["name"])


@contextmanager
def _locked(begun: _Begun) -> Iterator[int]:
    """The part, open for writing, with nobody else writing it."""
    try:
        descriptor = os.open(begun.part, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _gone() from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink == 0:
            raise _gone()
        yield descriptor
    except BlockingIOError as error:
        here = os.fstat(descriptor).st_size
        raise UploadOffsetError("A piece of this upload is being written; ask again where it ends.", here) from error
    finally:
        os.close(descriptor)


def _write(descriptor: int, block: bytes, at: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _gone() -> UploadNotFoundError:
    return UploadNotFoundError("This upload is not known here any more. Choose the file again to begin anew.")
