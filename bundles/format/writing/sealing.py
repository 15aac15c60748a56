"""Syncs a written bundle to disk and computes its size and SHA-256."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import NamedTuple

from bundles.format.model.hashing import HashLane
from bundles.format.reading.ranges import range_lane
from bundles.format.writing.packing import FRAME_BYTES, write_error


class Sealed(NamedTuple):
    """A synced file: its size in bytes, its SHA-256 (hex), and those of its ranges if requested."""

    size: int
    sha256: str
    ranges: str


def seal(descriptor: int, *, ranges: bool = False) -> Sealed:
    """Sync a file and hash it from its start, since its front was written last.

    Args:
        descriptor: the open file.
        ranges: whether to hash its ranges too, on another thread.

    Raises:
        CannotWriteError: `storage_full` or `write_failed`.
    """
    try:
        os.fsync(descriptor)
        offset = 0
        lane = range_lane(os.fstat(descriptor).st_size) if ranges else nullcontext()
        with HashLane() as whole, lane as pieces:
            while count := os.preadv(descriptor, [buffer := bytearray(FRAME_BYTES)], offset):
                block = memoryview(buffer)[:count]
                whole.update(block)
                if pieces is not None:
                    pieces.update(block)
                offset += count
            return Sealed(offset, whole.finish(), pieces.hexdigest() if pieces is not None else "")
    except OSError as error:
        raise write_error(error) from error
