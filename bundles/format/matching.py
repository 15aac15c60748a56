"""One file's bytes held against its manifest entry, as they pass; a damaged range of a large file is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bundles.format.digests import FileDigest
from bundles.format.errors import BundleRejectedError
from bundles.format.hashing import FileLanes
from bundles.format.manifest import FileEntry


def matching(pieces: Iterable[memoryview], entry: FileEntry, chunk_size: int, lanes: FileLanes) -> Iterator[memoryview]:
    """`pieces` as they are; the end of the iteration means that together they are the file that was signed.

    Args:
        pieces: the file's bytes, in order, as many as its signed size.
        entry: what was signed.
        chunk_size: the manifest's, in bytes.
        lanes: hash it.

    Raises:
        BundleRejectedError: `chunk_hash_mismatch` or `file_hash_mismatch`.
    """
    digest, compared = FileDigest(entry.size, chunk_size, lanes), 0
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
    if digest.finish() != entry.sha256:
        raise BundleRejectedError("file_hash_mismatch", f"{entry.path} is not the file that was signed.")
