"""Compresses tar bytes: to zstd frames in parallel on all cores, or to one gzip stream.

Both packers take small writes (headers, padding), and payload that is read directly into their buffer. The caller's
thread writes compressed blocks in order; only a few wait, so memory stays bounded.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from bundles.format.memory import keep_freed_pages
from bundles.format.model.errors import CannotWriteError
from bundles.format.model.limits import MIB

FRAME_BYTES = 2 * MIB
GZIP_LEVEL = 6


class Packer(Protocol):
    """The interface of both packers."""

    def write(self, data: bytes) -> None:
        """Add tar bytes."""

    def fill(self, count: int, read: Callable[[memoryview], int]) -> None:
        """Add exactly `count` bytes; `read` fills a view and returns how many bytes it wrote."""

    def flush(self) -> None:
        """Compress and write the buffered bytes."""


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything at the descriptor's position.

    Raises:
        CannotWriteError: `storage_full` or `write_failed`.
    """
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise write_error(error) from error


def write_error(error: OSError) -> CannotWriteError:
    """The writer's error for an `OSError`: `storage_full` or `write_failed`.

    The same errnos as in `foundation.disk`, kept twice because the format imports nothing else of this project.
    """
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return CannotWriteError("storage_full", "There is no room left for the bundle.")
    return CannotWriteError("write_failed", f"The bundle cannot be written: {error.strerror}.")


class ZstdPacker:
    """Cuts the tar stream into 2 MiB frames and compresses them in parallel.

    Attributes:
        frames: (compressed, decompressed) bytes of each frame written.
    """

    def __init__(self, descriptor: int) -> None:
        from bundles.format.model import zstd_frames  # zstandard may be missing if only gzip is used

        keep_freed_pages()
        self._compress = zstd_frames.compress_frame
        self._cores = zstd_frames.usable_cores()
        self._descriptor = descriptor
        self._pool = ThreadPoolExecutor(self._cores, thread_name_prefix="zstd")
        self._ahead: deque[tuple[Future[bytes], int]] = deque()
        self._buffer = bytearray(FRAME_BYTES)
        self._used = 0
        self.frames: list[tuple[int, int]] = []

    def write(self, data: bytes) -> None:
        """Add tar bytes."""
        view = memoryview(data)
        while view:
            room = FRAME_BYTES - self._used
            piece = view[:room]
            self._buffer[self._used : self._used + len(piece)] = piece
            view = view[room:]
            self._advance(len(piece))

    def fill(self, count: int, read: Callable[[memoryview], int]) -> None:
        """Add exactly `count` bytes from `read`."""
        while count:
            room = min(count, FRAME_BYTES - self._used)
            got = read(memoryview(self._buffer)[self._used : self._used + room])
            count -= got
            self._advance(got)

    def flush(self) -> None:
        """Compress and write the buffered bytes."""
        if self._used:
            self._submit()
        while self._ahead:
            self._write_first()

    def close(self) -> None:
        """End the threads and drop pending frames."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _advance(self, count: int) -> None:
        self._used += count
        if self._used == FRAME_BYTES:
            self._submit()

    def _submit(self) -> None:
        while len(self._ahead) > self._cores:
            self._write_first()
        content = memoryview(self._buffer)[: self._used]
        self._ahead.append((self._pool.submit(self._compress, content), self._used))
        self._buffer, self._used = bytearray(FRAME_BYTES), 0

    def _write_first(self) -> None:
        future, size = self._ahead.popleft()
        frame = future.result()
        write_all(self._descriptor, frame)
        self.frames.append((len(frame), size))


class GzipPacker:
    """Writes one gzip member (RFC 1952) without name or time, so that equal input gives equal bytes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)

    def write(self, data: bytes) -> None:
        """Add tar bytes."""
        write_all(self._descriptor, self._deflate.compress(data))

    def fill(self, count: int, read: Callable[[memoryview], int]) -> None:
        """Add exactly `count` bytes from `read`."""
        while count:
            view = memoryview(bytearray(min(count, FRAME_BYTES)))
            got = read(view)
            count -= got
            write_all(self._descriptor, self._deflate.compress(view[:got]))

    def flush(self) -> None:
        """End the gzip stream."""
        write_all(self._descriptor, self._deflate.flush())
