"""The payloads of a bundle, one per member. Each is read once, hashed and checked against its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bundles.format.model import paths
from bundles.format.model.digests import FileDigest
from bundles.format.model.errors import PayloadError
from bundles.format.model.hashing import FileLanes
from bundles.format.model.manifest import Chunk, FileEntry


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A member to be written.

    Attributes:
        path: its member path.
        size: its size in bytes; reading more or fewer is an error.
        open: opens it at its start, as a binary file with `readinto`.
        expected_sha256: the digest in its record (hex); another digest is an error. None if there is no record.
        origin: the path of the file that it comes from, for messages; empty if it does not come from a folder.
    """

    path: str
    size: int
    open: Callable[[], BinaryIO]
    expected_sha256: str | None = None
    origin: str = ""

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return repr(self.origin) if self.origin else self.path

    @classmethod
    def of_file(cls, path: str, file: Path) -> Payload:
        """The payload of a local file that this process wrote."""
        return cls(path=path, size=file.stat().st_size, open=lambda: file.open("rb", buffering=0))


class PayloadHasher:
    """Hashes one payload, and its chunks if it is larger than one."""

    def __init__(self, payload: Payload, chunk_size: int, lanes: FileLanes) -> None:
        self._payload = payload
        self._chunk_size = chunk_size
        self._digest = FileDigest(payload.size, chunk_size, lanes.whole, lanes.chunks)

    def update(self, data: memoryview) -> None:
        """Hash the next bytes, which must not change until `entry` was called."""
        self._digest.update(data)

    def entry(self) -> FileEntry:
        """The manifest entry, after everything was read.

        Raises:
            PayloadError: `payload_hash_mismatch`.
        """
        digest, payload = self._digest.finish(), self._payload
        if payload.expected_sha256 is not None and digest != payload.expected_sha256:
            raise PayloadError(
                "payload_hash_mismatch", f"{payload.shown} does not have the SHA-256 in its record.", payload.path
            )
        chunks = tuple(
            Chunk(index, offset, min(self._chunk_size, payload.size - offset), sha256)
            for index, sha256 in enumerate(self._digest.chunks)
            for offset in (index * self._chunk_size,)
        )
        return FileEntry(payload.path, payload.size, digest, paths.artifact_id_of(payload.path), chunks)


def open_payload(payload: Payload) -> BinaryIO:
    """Open a payload.

    Raises:
        PayloadError: `payload_unreadable`.
    """
    try:
        return payload.open()
    except OSError as error:
        raise _unreadable(payload, error) from error


def read_into(payload: Payload, stream: BinaryIO, view: memoryview) -> int:
    """Read the next bytes of a payload into `view`.

    Returns:
        The number of bytes read, at least one.

    Raises:
        PayloadError: `payload_truncated` or `payload_unreadable`.
    """
    try:
        count = stream.readinto(view)  # type: ignore[attr-defined] # typing.BinaryIO forgets readinto
    except OSError as error:
        raise _unreadable(payload, error) from error
    if not count:
        raise PayloadError("payload_truncated", _changed(payload, "shorter"), payload.path)
    return int(count)


def expect_end(payload: Payload, stream: BinaryIO) -> None:
    """Check that a payload has no more bytes.

    Raises:
        PayloadError: `payload_longer` or `payload_unreadable`.
    """
    try:
        more = stream.read(1)
    except OSError as error:
        raise _unreadable(payload, error) from error
    if more:
        raise PayloadError("payload_longer", _changed(payload, "longer"), payload.path)


def _changed(payload: Payload, how: str) -> str:
    if payload.origin:
        what = f"{payload.shown} changed while it was read and is now {how}."
        return f"{what} Bundle a copy that nothing writes to."
    return f"{payload.shown} is {how} than its record states."


def _unreadable(payload: Payload, error: OSError) -> PayloadError:
    return PayloadError("payload_unreadable", f"{payload.shown} cannot be read: {error.strerror}.", payload.path)
