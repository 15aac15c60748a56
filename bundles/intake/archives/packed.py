"""Files that are packed by gzip, zstd, bzip2 or xz: their bytes, unpacked within bounds and never written."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import zstandard

from bundles.intake.archives.members import MIB, ArchiveError, ArchiveLimits

BLOCK_BYTES = MIB
READ_BYTES = 64 * 1024
WINDOW_BYTES = 128 * MIB
MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")
DAMAGES = (zlib.error, zstandard.ZstdError, OSError, EOFError, lzma.LZMAError)


def unpacked(pieces: Iterator[bytes], limits: ArchiveLimits) -> Iterator[bytes]:
    """The unpacked bytes of a file that is packed; of another one its own.

    Args:
        pieces: the file's bytes from its beginning.
        limits: the bound of the unpacked size, as for archives.

    Raises:
        ArchiveError: `archive_too_large`, or `archive_member_damaged` behind the bytes that could be unpacked.
    """
    source = _Pieces(pieces)
    unpack = unpacker(source.head(6))
    size = 0
    try:
        for block in _each(source.read) if unpack is None else unpack(cast("BinaryIO", io.BufferedReader(source))):
            size += len(block)
            most = min(limits.total_bytes, max(limits.ratio_from_bytes, source.taken * limits.ratio))
            if unpack is not None and size > most:
                raise ArchiveError("archive_too_large", f"It unpacks to more than {most} bytes.")
            yield block
    except DAMAGES as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the data
        raise ArchiveError("archive_member_damaged", f"It unpacks to {size} bytes only.") from None


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file.

    Attributes:
        taken: bytes that were read.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self.taken = 0
        self._pieces = pieces
        self._rest = b""

    def head(self, size: int) -> bytes:
        """The first bytes, which are still to be read."""
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        return self._rest[:size]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self.head(1)
        found = self._rest[: len(buffer)]
        buffer[: len(found)] = found
        self._rest = self._rest[len(found) :]
        self.taken += len(found)
        return len(found)


def unpacker(head: bytes) -> Callable[[BinaryIO], Iterator[bytes]] | None:
    """How a file that begins with `head` is unpacked; None for one that is not packed."""
    if head[:2] == b"\x1f\x8b":
        return lambda file: _each(gzip.GzipFile(fileobj=file).read1)
    if head[:4] == b"\x28\xb5\x2f\xfd":
        reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
        return lambda file: _each(reader.stream_reader(file, read_across_frames=True).read)
    if head[:3] == b"BZh":
        return lambda file: _each(bz2.BZ2File(file).read1)
    if head[:6] == b"\xfd7zXZ\0":
        return _unpacked_xz
    return None


def _each(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The unpacked bytes, as they come, so that those before a damage are not lost."""
    while block := read(BLOCK_BYTES):
        yield block


def _unpacked_xz(file: BinaryIO) -> Iterator[bytes]:
    """The unpacked bytes of the streams of an xz file; one that asks for more memory than `WINDOW_BYTES` is refused."""
    stream: lzma.LZMADecompressor | None = None
    while block := file.read(READ_BYTES):
        while block:
            if stream is None:
                block = block.lstrip(b"\0")  # padding between streams
                if not block:
                    break
                stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=WINDOW_BYTES)
            piece = stream.decompress(block, BLOCK_BYTES)
            while piece or not (stream.eof or stream.needs_input):
                yield piece
                piece = b"" if stream.eof or stream.needs_input else stream.decompress(b"", BLOCK_BYTES)
            block = stream.unused_data if stream.eof else b""
            stream = None if stream.eof else stream
    if stream is not None:
        raise EOFError
