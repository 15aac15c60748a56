"""The digests of one file as it passes: of the whole, and of its chunks when it is larger than one.

Both are hashed beside the caller, each on a lane. The first chunk costs nothing: it ends where the whole has hashed
just that much.
"""

from __future__ import annotations

from collections.abc import Iterator

from bundles.format.model.hashing import HashLane


class FileDigest:
    """SHA-256 of a file and of its chunks.

    Args:
        size: of the file, in bytes.
        chunk_size: bytes a chunk.
        whole: hashes the file; free of other work until `finish` was called.
        chunks: hashes the chunks, where there are any; free of other work for so long.

    Attributes:
        chunks: the digest (hex) of each chunk that has passed, in order; none for a file that is not larger than one.
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
        """The digest of everything that has passed; the lanes are free again."""
        return self._whole.finish()

    def _by_chunk(self, data: memoryview) -> Iterator[memoryview]:
        while data:
            room = self._chunk_size - self._offset % self._chunk_size
            yield data[:room]
            data = data[room:]
