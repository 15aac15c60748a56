"""What goes into a bundle: one payload a member, read once while it is hashed and checked against its record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bundles.format import paths
from bundles.format.errors import PayloadError
from bundles.format.hashing import HashLane
from bundles.format.manifest import Chunk, FileEntry


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One member to be.

    Attributes:
        path: its member path.
        size: its size in bytes; reading more or fewer is an error.
        open: gives its bytes from the start, as a binary file with `readinto`.
        expected_sha256: what its record says (hex); another digest is an error. None where nothing is known.
    """

    path: str
    size: int
    open: Callable[[], BinaryIO]
    expected_sha256: str | None = None

    @classmethod
    def of_file(cls, path: str, file: Path) -> Payload:
        """The payload of a local file of our own making."""
        return cls(path=path, size=file.stat().st_size, open=lambda: file.open("rb", buffering=0))


class PayloadHasher:
    """Hashes one payload, and its chunks when it is larger than one."""

    def __init__(self, payload: Payload, chunk_size: int, lane: HashLane) -> None:
        self._payload = payload
        self._chunk_size = chunk_size
        self._lane = lane
        self._whole = hashlib.sha256()
        self._chunks: list[Chunk] = []
        self._offset = 0

    def update(self, data: memoryview) -> None:
        """Hash the next bytes, which must not change until `entry` was called."""
        if self._payload.size > self._chunk_size:
            for piece in self._by_chunk(data):
                self._lane.update(piece)
        self._whole.update(data)
        self._offset += len(data)
        if self._payload.size > self._chunk_size and self._ends_chunk(self._offset):
            self._finish_chunk(self._offset)

    def entry(self) -> FileEntry:
        """The manifest's entry, when everything was read.

        Raises:
            PayloadError: `payload_hash_mismatch`.
        """
        digest, payload = self._whole.hexdigest(), self._payload
        if payload.expected_sha256 is not None and digest != payload.expected_sha256:
            raise PayloadError(
                "payload_hash_mismatch", f"{payload.path} has another SHA-256 than its record says.", payload.path
            )
        return FileEntry(payload.path, payload.size, digest, paths.artifact_id_of(payload.path), tuple(self._chunks))

    def _by_chunk(self, data: memoryview) -> Iterator[memoryview]:
        """Cut `data` where chunks end; a chunk that ends inside it is closed here."""
        offset = self._offset
        while data:
            room = self._chunk_size - offset % self._chunk_size
            yield data[:room]
            offset += len(data[:room])
            data = data[room:]
            if data and self._ends_chunk(offset):
                self._finish_chunk(offset)

    def _ends_chunk(self, offset: int) -> bool:
        return offset == self._payload.size or offset % self._chunk_size == 0

    def _finish_chunk(self, end: int) -> None:
        start = self._chunks[-1].offset + self._chunks[-1].size if self._chunks else 0
        self._chunks.append(Chunk(len(self._chunks), start, end - start, self._lane.finish()))


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
        How many were read, at least one.

    Raises:
        PayloadError: `payload_truncated` or `payload_unreadable`.
    """
    try:
        count = stream.readinto(view)  # type: ignore[attr-defined] # typing.BinaryIO forgets readinto
    except OSError as error:
        raise _unreadable(payload, error) from error
    if not count:
        raise PayloadError("payload_truncated", f"{payload.path} is shorter than its record says.", payload.path)
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
        raise PayloadError("payload_longer", f"{payload.path} is longer than its record says.", payload.path)


def _unreadable(payload: Payload, error: OSError) -> PayloadError:
    return PayloadError("payload_unreadable", f"{payload.path} cannot be read: {error.strerror}.", payload.path)
