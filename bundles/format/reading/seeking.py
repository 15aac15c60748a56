"""Reads parts of a zstd bundle's tar stream through its seek table, without reading the rest.

The table is not signed, so each entry is compared with its frame. The bytes read this way are untrusted; the caller
compares them with the signed digests.
"""

from __future__ import annotations

import itertools
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from bundles.format.model import zstd_frames
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.limits import MIB, Limits
from bundles.format.reading import zstd_reader
from bundles.format.reading.raw_reader import BundleFile, RawReader

TABLE_BYTES = 16 * MIB  # enough for 4 TiB in frames of 2 MiB; a larger bundle is scanned
HEAD_BYTES = 8


class RangeReader(RawReader):
    """Reads one range of a file as if the file ended there.

    Args:
        file: the bundle.
        start: offset of the range.
        end: end offset (exclusive), at most the file's size.
    """

    def __init__(self, file: BundleFile, start: int, end: int) -> None:
        super().__init__(BundleFile(file.descriptor, end, file.kind), lambda _: None)
        self._read = start
        self._whole = file

    @property
    def size(self) -> int:
        """The whole file's size in bytes."""
        return self._whole.size

    def tail(self, count: int) -> bytes:
        """See `RawReader.tail`; of the whole file."""
        return RawReader(self._whole, lambda _: None).tail(count)


class SeekTable:
    """The offsets of each frame in the file and in the tar stream, according to the table.

    Args:
        file: the bundle.
        sizes: compressed and decompressed bytes of each frame, alternating.

    Attributes:
        file_starts: offset of each frame in the file, followed by that of the table.
        tar_starts: offset of each frame's content in the tar stream, followed by the stream's length.
    """

    def __init__(self, file: BundleFile, sizes: array[int]) -> None:
        self._file = file
        self.file_starts = array("Q", itertools.accumulate(sizes[0::2], initial=0))
        self.tar_starts = array("Q", itertools.accumulate(sizes[1::2], initial=0))

    @property
    def tar_size(self) -> int:
        """Bytes of the whole tar stream."""
        return self.tar_starts[-1]

    def rows(self, first: int, last: int) -> list[tuple[int, int]]:
        """(compressed, decompressed) bytes of the frames from `first` to `last` (exclusive)."""
        return [
            (
                self.file_starts[index + 1] - self.file_starts[index],
                self.tar_starts[index + 1] - self.tar_starts[index],
            )
            for index in range(first, last)
        ]

    def boundary(self, offset: int) -> int | None:
        """The first frame that begins at `offset` of the tar stream; None if none does."""
        index = bisect_left(self.tar_starts, offset)
        return index if index < len(self.tar_starts) and self.tar_starts[index] == offset else None

    def read(self, offset: int, size: int, limits: Limits) -> Iterator[memoryview]:
        """`size` bytes of the tar stream from `offset`, in pieces.

        Raises:
            BundleRejectedError: `seek_table_invalid`, `truncated` or another code of the step `container`.
            CannotCheckError: the file cannot be read.
        """
        if offset + size > self.tar_size:
            raise BundleRejectedError("truncated", "The bundle's frames end before the file in it does.")
        if not size:
            return
        first, last = self._frames(offset, size)
        sizes = [content for _, content in self.rows(first, last) if content]
        self.check(offset, size, limits)
        skip = offset - self.tar_starts[first]
        reader = RangeReader(self._file, self.file_starts[first], self.file_starts[last])
        for block, content in itertools.zip_longest(zstd_reader.decompress(reader, limits), sizes):
            if block is None or len(block) != content:
                raise _wrong_table()
            piece = memoryview(block)[skip : skip + size]
            skip, size = 0, size - len(piece)
            yield piece

    def _frames(self, offset: int, size: int) -> tuple[int, int]:
        """The first and last (exclusive) frame of a range of the tar stream."""
        return bisect_right(self.tar_starts, offset) - 1, bisect_left(self.tar_starts, offset + size)

    def check(self, offset: int, size: int, limits: Limits) -> None:
        """Check that the frames of a range have the offsets and sizes in the table.

        Raises:
            BundleRejectedError: `seek_table_invalid`, or another code of the step `container`.
        """
        for index in range(*self._frames(offset, size)):
            content = self.tar_starts[index + 1] - self.tar_starts[index]
            start, end = self.file_starts[index], self.file_starts[index + 1]
            head = RangeReader(self._file, start, min(end, start + zstd_reader.MAX_HEADER_BYTES))
            magic = int.from_bytes(head.window(4)[:4], "little")
            if not content:
                if magic == zstd_frames.DATA_MAGIC:
                    raise _wrong_table()
                continue
            if magic != zstd_frames.DATA_MAGIC or zstd_reader.frame_header(head, limits).content_size != content:
                raise _wrong_table()


def read_seek_table(file: BundleFile, limits: Limits) -> SeekTable | None:
    """The seek table at the end of a bundle.

    Returns:
        None if there is none, or if its frames are too large to decompress at once or too many.

    Raises:
        BundleRejectedError: `seek_table_invalid`: its sizes do not add up to the file's size.
        CannotCheckError: the file cannot be read.
    """
    foot = RawReader(file, lambda _: None).tail(zstd_frames.SEEK_TABLE_FOOT_BYTES)
    if file.kind != "zstd" or len(foot) != zstd_frames.SEEK_TABLE_FOOT_BYTES:
        return None
    count, descriptor, magic = struct.unpack("<IBI", foot)
    size = 8 * count + len(foot)
    start = file.size - size - HEAD_BYTES
    if magic != zstd_frames.SEEKABLE_MAGIC or descriptor or size > TABLE_BYTES or start < 0:
        return None
    reader = RangeReader(file, start, file.size)
    if struct.unpack("<II", reader.take(HEAD_BYTES)) != (zstd_frames.SEEK_TABLE_MAGIC, size):
        return None
    sizes = array("I")
    sizes.frombytes(reader.take(8 * count))
    if sys.byteorder == "big":
        sizes.byteswap()
    if sizes and max(sizes[1::2]) > limits.frame_bytes:
        return None
    table = SeekTable(file, sizes)
    if table.file_starts[-1] != start:
        raise _wrong_table()
    return table


def copy_range(file: BundleFile, start: int, end: int) -> Iterator[memoryview]:
    """The file's raw bytes from `start` to `end` (exclusive), in pieces.

    Raises:
        CannotCheckError: `bundle_unreadable`, or `bundle_changed` if the file shrank meanwhile.
    """
    reader = RangeReader(file, start, end)
    while reader.left:
        yield reader.take(min(reader.left, 4 * MIB))


def _wrong_table() -> BundleRejectedError:
    return BundleRejectedError("seek_table_invalid", "The seek table does not describe the frames.")
