"""Reads the stored bytes of a bundle's file, in order and in large blocks."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from bundles.format.model.errors import BundleRejectedError, CannotCheckError
from bundles.format.model.limits import MIB

READ_BYTES = 4 * MIB
BLOCK_BYTES = 2 * MIB  # decompressed at a time, approximately
TAIL_BYTES = 64


@dataclass(frozen=True)
class BundleFile:
    """A bundle being read: an open descriptor and its size in bytes when it was opened.

    Attributes:
        streams: the open generators of `tar_blocks`. They are closed with the file and not left to the garbage
            collector, which may run on one of their own threads and would then wait for itself.
    """

    descriptor: int
    size: int
    kind: str
    streams: list[weakref.ref[Generator[bytes, None, None]]] = field(default_factory=list, repr=False, compare=False)


class RawReader:
    """Reads a file from its start to the size it had when opened; passes consumed bytes to `on_raw`."""

    def __init__(self, file: BundleFile, on_raw: Callable[[memoryview], None]) -> None:
        self._file = file
        self._on_raw = on_raw
        self._buffer = memoryview(b"")
        self._start = 0
        self._read = 0

    @property
    def left(self) -> int:
        """Bytes from the current position to the end of the file."""
        return self._file.size - self._read + len(self._buffer) - self._start

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self._file.size

    def tail(self, count: int) -> bytes:
        """The first of the file's last `count` bytes, at most `TAIL_BYTES`; empty if it is shorter. Not consumed."""
        if count > self.size:
            return b""
        return read_from(self._file.descriptor, min(count, TAIL_BYTES), self._file.size - count)

    def window(self, count: int) -> memoryview:
        """At least `count` bytes from the current position, fewer only at the end of the file. Not consumed."""
        have = len(self._buffer) - self._start
        if have < count and self._read < self._file.size:
            # Reading again is faster than joining buffers: the kernel fills memory that need not be cleared first.
            # Always a new buffer, since other threads may still use views of the previous one.
            at = self._read - have
            fresh = read_from(self._file.descriptor, min(max(READ_BYTES, count), self._file.size - at), at)
            self._buffer, self._start, self._read = memoryview(fresh), 0, at + len(fresh)
        return self._buffer[self._start :]

    def take(self, count: int) -> memoryview:
        """Consume exactly `count` bytes.

        Raises:
            BundleRejectedError: `truncated`.
        """
        if self.left < count:
            raise BundleRejectedError("truncated", "The file ends in the middle of its compressed data.")
        view = self.window(count)[:count]
        self._start += count
        self._on_raw(view)
        return view


def read_from(descriptor: int, count: int, offset: int) -> bytes:
    """Exactly `count` bytes of the file.

    Raises:
        CannotCheckError: `bundle_unreadable`, or `bundle_changed` if the file is shorter.
    """
    data = b""
    while len(data) < count:
        try:
            more = os.pread(descriptor, count - len(data), offset + len(data))
        except OSError as error:
            raise CannotCheckError("bundle_unreadable", f"The file cannot be read: {error.strerror}.") from error
        if not more:
            raise CannotCheckError("bundle_changed", "The file shrank while it was read.")
        data = data + more if data else more
    return data
