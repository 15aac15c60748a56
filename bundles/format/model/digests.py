"""Computes the digests of one file while it is read: of the file, and of its chunks if it is larger than one.

Each is hashed on a thread of its own. The first chunk is not hashed twice: its digest is that of the file so far.
"""

from __future__ import annotations

from collections.abc import Iterator

from bundles.format.model.hashing import HashLane


class FileDigest:
    """SHA-256 of a file and of its chunks.

    Args:
        size: of the file, in bytes.
        chunk_size: of a chunk, in bytes.
        whole: hashes the file; must not be used otherwise until `finish` was called.
        chunks: hashes the chunks, if any; must not be used otherwise until `finish` was called.

    Attributes:
        chunks: the digest (hex) of each chunk read so far, in order; empty for a file that is not larger than one.
    """

    def __init__(self, size: int, chunk_size: int, whole: HashLane, chunks: HashLane) -> None:
        self._size = size
        self._chunk_size = chunk_size if size > chunk_size else 0
        self._whole, self._chunks = whole, chunks
        self._offset = 0
        self.chunks: list[str] = []

    def update(self, data: memoryview) -> None:
        """Hash the file's next bytes, which must not change until `finish` was called."""
        if not self._chunk_size:
            self._whole.update(data)
            return
        for piece in self._by_chunk(data):
            self._whole.update(piece)
            if self.chunks:
                self._chunks.update(piece)
            self._offset += len(piece)
            if self._offset == self._size or self._offset % self._chunk_size == 0:
                self.chunks.append(self._chunks.finish() if self.chunks else self._whole.hexdigest())

    def finish(self) -> str:
        """The digest (hex) of the file; the lanes can be used again."""
        return self._whole.finish()

    def _by_chunk(self, data: memoryview) -> Iterator[memoryview]:
        while data:
            room = self._chunk_size - self._offset % self._chunk_size
            yield data[:room]
            data = data[room:]
