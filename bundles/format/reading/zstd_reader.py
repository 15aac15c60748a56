"""Reads the zstd frames (RFC 8878) of a bundle: finds, bounds and decompresses them in parallel.

Frames are delimited by walking their block headers, without decompressing and without trusting the seek table. Small
frames are then decompressed in parallel. The seek table (zstd's seekable format, without checksums) must describe
exactly the frames found. Memory does not grow with the number of frames.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import zstandard

from bundles.format.memory import keep_freed_pages
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.limits import KIB, MIB, Limits
from bundles.format.model.zeros import is_zero
from bundles.format.model.zstd_frames import (
    DATA_MAGIC,
    FILLER_MAGIC,
    SEEK_TABLE_FOOT_BYTES,
    SEEK_TABLE_MAGIC,
    SEEKABLE_MAGIC,
    SKIPPABLE_FIRST,
    SKIPPABLE_LAST,
    usable_cores,
)
from bundles.format.reading.raw_reader import BLOCK_BYTES, RawReader

BLOCK_CONTENT_BYTES = 128 * KIB
MAX_HEADER_BYTES = 18

_local = threading.local()


@dataclass(frozen=True)
class FrameHeader:
    """A data frame's header: its length, and the content size in bytes if it states one."""

    length: int
    content_size: int | None
    checksum: bool


def decompress(raw: RawReader, limits: Limits) -> Generator[bytes, None, None]:
    """The content of all frames in order.

    Raises:
        BundleRejectedError: a code of the steps `container` or `end`.
    """
    keep_freed_pages()
    frames = FrameSizes()
    budget = _Budget(raw.size, limits)
    ahead: deque[Future[bytes]] = deque()
    cores = usable_cores()
    with ThreadPoolExecutor(cores, thread_name_prefix="unzstd") as pool:
        try:
            while raw.left:
                magic = _magic(raw)
                if SKIPPABLE_FIRST <= magic <= SKIPPABLE_LAST:
                    _skippable(raw, magic, frames, budget)
                    continue
                header = frame_header(raw, limits)
                if header.content_size is None or header.content_size > limits.frame_bytes:
                    yield from _results(ahead)
                    compressed, content = yield from _long_frame(raw, header, limits)
                    frames.add(compressed, content)
                    budget.frame(content)
                    continue
                frame = _whole_frame(raw, header)
                frames.add(len(frame), header.content_size)
                budget.frame(header.content_size)
                ahead.append(pool.submit(_decompress_frame, frame, header.content_size))
                if len(ahead) > cores + 1:
                    yield ahead.popleft().result()
            yield from _results(ahead)
        finally:
            for future in ahead:
                future.cancel()


class FrameSizes:
    """The sizes of the frames found, hashed as rows of a seek table, for comparison with the stored table."""

    def __init__(self) -> None:
        self._rows = hashlib.sha256()
        self._count = 0
        self._fits_table = True

    def add(self, compressed: int, content: int) -> None:
        """Add a frame: its compressed and decompressed size in bytes."""
        self._count += 1
        if max(compressed, content) >> 32:
            self._fits_table = False  # older bundles may have such a frame, but then no seek table
        else:
            self._rows.update(struct.pack("<II", compressed, content))

    def match(self, size: int, take: Callable[[int], bytes | memoryview]) -> bool:
        """Whether the seek table of `size` bytes that `take` reads lists exactly these frames."""
        if not self._fits_table or size != 8 * self._count + SEEK_TABLE_FOOT_BYTES:
            return False
        rows = hashlib.sha256()
        left = 8 * self._count
        while left:
            piece = take(min(left, MIB))
            left -= len(piece)
            rows.update(piece)
        foot = bytes(take(SEEK_TABLE_FOOT_BYTES))
        return rows.digest() == self._rows.digest() and foot == struct.pack("<IBI", self._count, 0, SEEKABLE_MAGIC)


class _Budget:
    """Bounds the bytes that are decompressed ahead of the consumer, and the number of tiny frames."""

    def __init__(self, size: int, limits: Limits) -> None:
        self._most = max(limits.ratio_grace_bytes, limits.ratio * size)
        self._most_skippable = 1024 + size // KIB
        self._total = 0
        self._frames = 0
        self._skippable = 0

    def skippable(self) -> None:
        self._skippable += 1
        if self._skippable > self._most_skippable:
            raise BundleRejectedError("corrupt_compression", "The bundle has too many tiny frames.")

    def frame(self, content_size: int) -> None:
        self._total += content_size
        self._frames += 1
        if self._total > self._most:
            raise BundleRejectedError("ratio_exceeded", "The bundle's compression ratio is higher than allowed.")
        if self._frames > 1024 + self._total // (4 * KIB):
            raise BundleRejectedError("corrupt_compression", "The bundle has too many tiny frames.")


def _results(ahead: deque[Future[bytes]]) -> Iterator[bytes]:
    while ahead:
        yield ahead.popleft().result()


def _magic(raw: RawReader) -> int:
    view = raw.window(4)
    magic = int.from_bytes(view[:4], "little")
    if len(view) < 4 or not (magic == DATA_MAGIC or SKIPPABLE_FIRST <= magic <= SKIPPABLE_LAST):
        raise BundleRejectedError("trailing_data", "The data after a frame is not another frame.")
    return magic


def _skippable(raw: RawReader, magic: int, frames: FrameSizes, budget: _Budget) -> None:
    size = struct.unpack("<II", raw.take(8))[1]
    if magic == SEEK_TABLE_MAGIC:
        if not frames.match(size, raw.take):
            raise BundleRejectedError("seek_table_invalid", "The seek table does not describe the frames.")
        if raw.left:
            raise BundleRejectedError("trailing_data", "There is data after the seek table.")
        return
    frames.add(8 + size, 0)
    budget.skippable()
    while size:
        piece = raw.take(min(size, MIB))
        size -= len(piece)
        if not is_zero(piece):
            raise BundleRejectedError("skippable_not_zero", "A skippable frame contains something other than zeros.")
    if magic == FILLER_MAGIC and not _ends_with_seek_table(raw):
        # A writer that reserves room at the front also writes a table at the end. Fail before reading everything.
        raise BundleRejectedError("truncated", "The file is cut off: its end, with the seek table, is missing.")


def _ends_with_seek_table(raw: RawReader) -> bool:
    """Whether the file ends with the footer of a seek table that begins where its size says."""
    foot = raw.tail(SEEK_TABLE_FOOT_BYTES)
    if len(foot) < SEEK_TABLE_FOOT_BYTES or foot[-4:] != struct.pack("<I", SEEKABLE_MAGIC):
        return False
    size = 8 * int.from_bytes(foot[:4], "little") + SEEK_TABLE_FOOT_BYTES
    return not size >> 32 and raw.tail(8 + size)[:8] == struct.pack("<II", SEEK_TABLE_MAGIC, size)


def frame_header(raw: RawReader, limits: Limits) -> FrameHeader:
    """The header of the frame at the current position; nothing is consumed.

    Raises:
        BundleRejectedError: a code of the step `container`.
    """
    view = raw.window(MAX_HEADER_BYTES)
    if len(view) < 6:
        raise BundleRejectedError("truncated", "The file ends in the middle of a frame header.")
    descriptor = view[4]
    if descriptor & 0b0001_1000:
        raise BundleRejectedError("reserved_bits", "A frame header sets bits that must be zero.")
    if descriptor & 0b11:
        raise BundleRejectedError("corrupt_compression", "A frame asks for a dictionary.")
    single_segment = bool(descriptor & 0b0010_0000)
    size_bytes = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    length = 5 + (0 if single_segment else 1) + size_bytes
    if len(view) < length:
        raise BundleRejectedError("truncated", "The file ends in the middle of a frame header.")
    content_size: int | None = None
    if size_bytes:
        content_size = int.from_bytes(view[length - size_bytes : length], "little") + (256 if size_bytes == 2 else 0)
        if content_size == 0:
            raise BundleRejectedError("corrupt_compression", "A frame claims to be empty.")
    if single_segment:
        window = content_size or 0
    else:
        window = (1 << (10 + (view[5] >> 3))) // 8 * (8 + (view[5] & 0b111))
    if window > limits.window_bytes:
        raise BundleRejectedError("window_too_large", "A frame needs more memory to decompress than allowed.")
    return FrameHeader(length, content_size, bool(descriptor & 0b100))


def _block(view: memoryview, position: int) -> tuple[int, bool]:
    """The end of the block at `position`, and whether it is the last; -1 if the view is too short."""
    if len(view) < position + 3:
        return -1, False
    head = view[position] | view[position + 1] << 8 | view[position + 2] << 16
    kind, size = head >> 1 & 0b11, head >> 3
    if kind == 3 or size > BLOCK_CONTENT_BYTES:
        raise BundleRejectedError("corrupt_compression", "A frame contains an invalid block.")
    return position + 3 + (1 if kind == 1 else size), bool(head & 1)


def _whole_frame(raw: RawReader, header: FrameHeader) -> memoryview:
    """Consume a frame of known, small content by its block headers, without decompressing it."""
    content = header.content_size or 0
    most_blocks, most_bytes = 64 + content // 256, 2 * content + 64 * KIB
    view = raw.window(header.length)
    position, end, blocks, head = header.length, len(view) - 3, 0, 0
    while not head & 1:  # runs for every block of a bundle, so `_block` is inlined
        if position > end:
            if len(view) == raw.left:
                raise BundleRejectedError("truncated", "The file ends in the middle of a frame.")
            view = raw.window(position + BLOCK_CONTENT_BYTES + 16)
            end = len(view) - 3
            continue
        head = int.from_bytes(view[position : position + 3], "little")
        kind, size = head & 0b110, head >> 3
        if kind == 0b110 or size > BLOCK_CONTENT_BYTES:
            raise BundleRejectedError("corrupt_compression", "A frame contains an invalid block.")
        position += 3 + (1 if kind == 0b010 else size)
        blocks += 1
        if blocks > most_blocks or position > most_bytes:
            raise BundleRejectedError("corrupt_compression", "A frame has too many tiny blocks.")
    return raw.take(position + (4 if header.checksum else 0))


def _decompress_frame(frame: memoryview, content_size: int) -> bytes:
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    try:
        content = bytes(decompressor.decompress(frame, max_output_size=content_size))
    except zstandard.ZstdError as error:
        raise BundleRejectedError("corrupt_compression", "A zstd frame is damaged.") from error
    if len(content) != content_size:
        raise BundleRejectedError("corrupt_compression", "A zstd frame is shorter than it states.")
    return content


def _long_frame(raw: RawReader, header: FrameHeader, limits: Limits) -> Generator[bytes, None, tuple[int, int]]:
    """The content of a large frame, a few blocks at a time; returns its compressed and decompressed size in bytes."""
    stream = zstandard.ZstdDecompressor(max_window_size=limits.window_bytes).decompressobj(read_across_frames=False)
    compressed, content, blocks, last = header.length, 0, 0, False
    pending: list[memoryview | bytes] = [bytes(raw.take(header.length))]
    while not last:
        end, last = _block(raw.window(3), 0)
        if end < 0:
            raise BundleRejectedError("truncated", "The file ends in the middle of a frame.")
        end += 4 if last and header.checksum else 0
        pending.append(bytes(raw.take(end)))
        compressed, blocks = compressed + end, blocks + 1
        if last or len(pending) >= BLOCK_BYTES // BLOCK_CONTENT_BYTES:
            try:
                block = stream.decompress(b"".join(pending))
            except zstandard.ZstdError as error:
                raise BundleRejectedError("corrupt_compression", "A zstd frame is damaged.") from error
            pending = []
            content += len(block)
            if blocks > 1024 + content // 256:
                raise BundleRejectedError("corrupt_compression", "A frame has too many tiny blocks.")
            if block:
                yield block
    if not content:
        raise BundleRejectedError("corrupt_compression", "A frame is empty.")
    if not stream.eof or stream.unused_data:
        raise BundleRejectedError("corrupt_compression", "A zstd frame does not end where its blocks do.")
    return compressed, content
