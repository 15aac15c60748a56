"""The end of every writing: what was written is on the disk, and has a size and a SHA-256."""

from __future__ import annotations

import os

from bundles.format.hashing import HashLane
from bundles.format.packing import FRAME_BYTES, write_error


def seal(descriptor: int) -> tuple[int, str]:
    """Sync a file and read it back from its start, since its front was written last.

    Returns:
        Its size in bytes, and its SHA-256 (hex).

    Raises:
        CannotWriteError: a code of the disk's.
    """
    try:
        os.fsync(descriptor)
        offset = 0
        with HashLane() as whole:
            while count := os.preadv(descriptor, [buffer := bytearray(FRAME_BYTES)], offset):
                whole.update(memoryview(buffer)[:count])
                offset += count
            return offset, whole.finish()
    except OSError as error:
        raise write_error(error) from error
