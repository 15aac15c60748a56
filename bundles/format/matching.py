"""Files' bytes held against their manifest entries, as they pass; a damaged range of a large file is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bundles.format.digests import FileDigest
from bundles.format.errors import BundleRejectedError
from bundles.format.hashing import FileLanes, HashLane
from bundles.format.manifest import FileEntry


class Matcher:
    """Compares one file after the other with what was signed.

    Files take turns on two lanes, so that a file is read while the last blocks of the one before are still hashed. What
    is not compared at a file's end is compared when its lane is wanted again, or by `settle`.

    Args:
        chunk_size: the manifest's, in bytes.
        lanes: hash the files.
    """

    def __init__(self, chunk_size: int, lanes: FileLanes) -> None:
        self._chunk_size = chunk_size
        self._lanes = [lanes.whole, lanes.chunks]
        self._open: dict[HashLane, tuple[FileDigest, FileEntry]] = {}  # oldest first

    def pieces(self, pieces: Iterable[memoryview], entry: FileEntry) -> Iterator[memoryview]:
        """`pieces` as they are; the file is compared now, or later by `settle`.

        Args:
            pieces: the file's bytes, in order, as many as its signed size.
            entry: what was signed.

        Raises:
            BundleRejectedError: `chunk_hash_mismatch` or `file_hash_mismatch`, of this file or of one before.
        """
        self._lanes.reverse()
        whole, other = self._lanes
        self._compare(whole)
        if entry.size > self._chunk_size:
            self._compare(other)
        digest, compared = FileDigest(entry.size, self._chunk_size, whole, other), 0
        for piece in pieces:
            digest.update(piece)
            yield piece
            for chunk, found in zip(entry.chunks[compared:], digest.chunks[compared:], strict=False):
                if found != chunk.sha256:
                    last = chunk.offset + chunk.size - 1
                    raise BundleRejectedError(
                        "chunk_hash_mismatch", f"Bytes {chunk.offset} to {last} of {entry.path} are not those signed."
                    )
            compared = len(digest.chunks)
        self._open[whole] = digest, entry

    def settle(self) -> None:
        """Compare what is still open, in the order of the files.

        Raises:
            BundleRejectedError: `file_hash_mismatch`.
        """
        for lane in list(self._open):
            self._compare(lane)

    def _compare(self, lane: HashLane) -> None:
        if lane in self._open:
            digest, entry = self._open.pop(lane)
            if digest.finish() != entry.sha256:
                raise BundleRejectedError("file_hash_mismatch", f"{entry.path} is not the file that was signed.")
