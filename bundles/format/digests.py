"""The digests of one file as it passes: of the whole, and of its chunks when it is larger than one.

The whole is hashed by the caller, the chunks beside it on a lane. The first chunk costs nothing: it ends where the
whole has hashed just that much.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bundles.format.hashing import HashLane


class FileDigest:
    """SHA-256 of a file and of its chunks.

    Args:
        size: of the file, in bytes.
        chunk_size: bytes a chunk.
        lane: hashes the chunks; free of other work until the file has passed.

    Attributes:
        chunks: the digest (hex) of each chunk that has passed, in order; none for a file that is not larger than one.
    """

    def __init__(self, size: int, chunk_size: int, lane: HashLane) -> None:
        self._size = size
        self._chunk_size = chunk_size if size > chunk_size else 0
        self._lane = lane
        self._whole = hashlib.sha256()
        self._offset = 0
        self.chunks: list[str] = []

    def update(self, data: memoryview) -> None:
        """Hash the file's next bytes, which must not change until its last chunk has passed."""
        if not self._chunk_size:
            self._whole.update(data)
            return
        for piece in self._by_chunk(data):
            if self.chunks:
                self._lane.update(piece)
            self._whole.update(piece)
            self._offset += len(piece)
            if self._offset == self._size or self._offset % self._chunk_size == 0:
                self.chunks.append(self._lane.finish() if self.chunks else self._whole.hexdigest())

    def hexdigest(self) -> str:
        """The digest of everything that has passed."""
        return self._whole.hexdigest()

    def _by_chunk(self, data: memoryview) -> Iterator[memoryview]:
        while data:
            room = self._chunk_size - self._offset % self._chunk_size
            yield data[:room]
            data = data[room:]
