"""Writes the Zstandard frames (RFC 8878) of a bundle: data frames, the filler and the seek table.

`zstd_reader` reads them.
"""

from __future__ import annotations

import os
import struct
import threading

import zstandard

from bundles.format.model.limits import MIB

FRAME_BYTES = 2 * MIB  # tar bytes a frame
LEVEL = 3
DATA_MAGIC = 0xFD2FB528
SKIPPABLE_FIRST, SKIPPABLE_LAST = 0x184D2A50, 0x184D2A5F
FILLER_MAGIC = 0x184D2A5D
SEEK_TABLE_MAGIC = 0x184D2A5E
SEEKABLE_MAGIC = 0x8F92EAB1
SEEK_TABLE_FOOT_BYTES = 9

_local = threading.local()


def compress_frame(content: bytes | bytearray | memoryview) -> bytes:
    """A data frame with content size and checksum, level 3; can be called from several threads at once."""
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(
            level=LEVEL, write_checksum=True, write_content_size=True
        )
    return bytes(compressor.compress(content))


def compress_bound(size: int) -> int:
    """The largest size in bytes of a frame of `size` bytes of content (ZSTD_compressBound plus the checksum)."""
    return size + (size >> 8) + (((128 << 10) - size) >> 11 if size < (128 << 10) else 0) + 32


def filler(size: int) -> bytes:
    """A skippable frame of zeros, `size` bytes in all (at least 8)."""
    return struct.pack("<II", FILLER_MAGIC, size - 8) + bytes(size - 8)


def seek_table(frames: list[tuple[int, int]]) -> bytes:
    """The skippable frame that lists the (compressed, decompressed) size in bytes of each frame, in order."""
    entries = b"".join(struct.pack("<II", *frame) for frame in frames)
    return (
        struct.pack("<II", SEEK_TABLE_MAGIC, len(entries) + 9)
        + entries
        + struct.pack("<IBI", len(frames), 0, SEEKABLE_MAGIC)
    )


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0))
