"""SHA-256 of fixed ranges of a bundle's file, so that a copy elsewhere can be compared range by range.

Not part of the format: a bundle does not contain these digests, and no reader needs them. They show which bytes of a
copy differ, and let a browser compare a file that it could not hash as a whole.
"""

from __future__ import annotations

import hashlib

from bundles.format.model.hashing import HashLane
from bundles.format.model.limits import KIB, MIB

SMALLEST_BYTES, LARGEST_BYTES = 64 * KIB, 16 * MIB
MOST_RANGES = 1024  # holds up to 16 GiB, where ranges reach their largest size


def range_bytes(size: int) -> int:
    """The range size for a file of `size` bytes: a power of two from 64 KiB to 16 MiB."""
    chosen = SMALLEST_BYTES
    while chosen < LARGEST_BYTES and size > MOST_RANGES * chosen:
        chosen *= 2
    return chosen


class RangeHash:
    """Computes the digests of a file's ranges; used like an object of hashlib.

    Args:
        size: of the file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._range = range_bytes(size)
        self._digests = bytearray()
        self._open = hashlib.sha256()
        self._left = self._range

    def update(self, block: bytes | memoryview) -> None:
        """Hash the next bytes."""
        view = memoryview(block)
        while view:
            piece, view = view[: self._left], view[self._left :]
            self._open.update(piece)
            self._left -= len(piece)
            if not self._left:
                self._close()

    def hexdigest(self) -> str:
        """The digests (hex) of all ranges, one after the other; the last range may be shorter."""
        last = b"" if self._left == self._range else self._open.digest()
        return (bytes(self._digests) + last).hex()

    def _close(self) -> None:
        self._digests += self._open.digest()
        self._open = hashlib.sha256()
        self._left = self._range


def range_lane(size: int) -> HashLane:
    """A lane that hashes the ranges of a file of `size` bytes; `hexdigest` returns their digests."""
    return HashLane(RangeHash(size))
