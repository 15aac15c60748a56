"""Step 1 of the reading plan: opens the file and decompresses it to a bounded stream of tar bytes.

The file is opened once, without following a link, and recognized by its first bytes. `tar_blocks` yields the
decompressed bytes in order and refuses anything but exactly one compressed stream. It also passes the raw bytes to the
caller, who can compute the file's digest without a second read.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundles.format.model.errors import BundleRejectedError, CannotCheckError
from bundles.format.model.limits import KIB, Limits
from bundles.format.model.paths import MAX_NAME_BYTES, must_escape
from bundles.format.reading.raw_reader import BLOCK_BYTES, BundleFile, RawReader, read_from

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC = b"\x1f\x8b\x08"
GZIP_INPUT_BYTES = 256 * 1024
GZIP_RESERVED, GZIP_NAME = 0xE0, 0x08  # flags of RFC 1952
GZIP_HEAD_BYTES = 10
GZIP_SPARE_BYTES = 4 * KIB


@dataclass(frozen=True)
class Opened:
    """A regular file that is already open, such as a spool without a name; `name` is for reports."""

    descriptor: int
    name: str


Source = Path | Opened


@contextmanager
def open_bundle(path: Source) -> Iterator[BundleFile]:
    """Open a bundle for one verification.

    Raises:
        CannotCheckError: `bundle_unreadable`.
        BundleRejectedError: `not_a_regular_file` or `not_a_bundle`.
    """
    try:
        if isinstance(path, Opened):
            descriptor = os.dup(path.descriptor)
        else:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP and isinstance(path, Path) and path.is_symlink():
            raise BundleRejectedError("not_a_regular_file", "The path is a symbolic link.") from error
        raise CannotCheckError("bundle_unreadable", f"The file cannot be opened: {error.strerror}.") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BundleRejectedError("not_a_regular_file", "The path is not a regular file.")
        magic = read_from(descriptor, min(4, found.st_size), 0)
        file = BundleFile(descriptor, found.st_size, _kind(magic))
        try:
            yield file
        finally:
            for stream in [reference() for reference in file.streams]:
                if stream is not None:
                    stream.close()
    finally:
        os.close(descriptor)


def tar_blocks(
    file: BundleFile, limits: Limits, *, on_raw: Callable[[memoryview], None] | None = None
) -> Generator[bytes, None, None]:
    """The decompressed bytes of a bundle, in order, in blocks of a few MiB.

    The iteration ends only if the compressed stream is sound and ends at the end of the file.

    Args:
        file: the bundle, read from its start.
        limits: bounds on window, ratio and total.
        on_raw: called with the file's bytes as they are consumed, in order, each byte once.

    Raises:
        BundleRejectedError: a code of the steps `container` or `end`.
        CannotCheckError: `zstandard_missing`, or `bundle_changed` if the file shrank meanwhile.
    """
    raw = RawReader(file, on_raw or _ignore)
    if file.kind == "gzip":
        blocks = _gunzip(raw)
    else:
        try:
            from bundles.format.reading import zstd_reader  # zstandard may be missing if only gzip is used
        except ImportError as error:
            raise CannotCheckError("zstandard_missing", "Reading this bundle needs the zstandard library.") from error
        blocks = zstd_reader.decompress(raw, limits)
    bounded = _bounded(blocks, file.size, limits)
    file.streams.append(weakref.ref(bounded))
    return bounded


def _ignore(block: memoryview) -> None:
    """The default of `on_raw`."""


def _kind(magic: bytes) -> str:
    if magic == ZSTD_MAGIC:
        return "zstd"
    if magic[:3] == GZIP_MAGIC:
        return "gzip"
    if len(magic) == 4 and magic[1:] == b"\x2a\x4d\x18" and 0x50 <= magic[0] <= 0x5F:
        return "zstd"  # begins with a skippable frame
    raise BundleRejectedError("not_a_bundle", "The file is neither zstd nor gzip.")


def _bounded(blocks: Generator[bytes, None, None], size: int, limits: Limits) -> Generator[bytes, None, None]:
    total = 0
    with closing(blocks):
        for block in blocks:
            total += len(block)
            if total > limits.total_bytes:
                raise BundleRejectedError("size_exceeded", "The bundle decompresses to more bytes than allowed.")
            if total > limits.ratio_grace_bytes and total > limits.ratio * size:
                raise BundleRejectedError("ratio_exceeded", "The bundle's compression ratio is higher than allowed.")
            yield block


def _check_gzip_header(head: bytes) -> None:
    """Check that a gzip header (RFC 1952) has no optional field except a plain file name.

    Raises:
        BundleRejectedError: `reserved_bits`, `truncated` or `corrupt_compression`.
    """
    if len(head) < GZIP_HEAD_BYTES:
        raise BundleRejectedError("truncated", "The file ends in the middle of its gzip header.")
    flags = head[3]
    if flags & GZIP_RESERVED:
        raise BundleRejectedError("reserved_bits", "The gzip header sets bits that must be zero.")
    if flags & ~GZIP_NAME:
        raise BundleRejectedError("corrupt_compression", "The gzip header has fields that are not allowed in a bundle.")
    name, end, _ = head[GZIP_HEAD_BYTES:].partition(b"\0")
    if flags and not (end and _plain_name(name)):
        raise BundleRejectedError("corrupt_compression", "The name in the gzip header is not a plain file name.")


def _plain_name(raw: bytes) -> bool:
    """Whether a gzip header's name is safe as a file name and on a terminal."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return name not in {"", ".", ".."} and "/" not in name and not any(must_escape(character) for character in name)


def _gunzip(raw: RawReader) -> Generator[bytes, None, None]:
    _check_gzip_header(bytes(raw.window(GZIP_HEAD_BYTES + MAX_NAME_BYTES + 1)[: GZIP_HEAD_BYTES + MAX_NAME_BYTES + 1]))
    inflate = zlib.decompressobj(wbits=31)
    pending: bytes | memoryview = b""
    taken, given = 0, 0
    try:
        while not inflate.eof:
            if not pending:
                if not raw.left:
                    raise BundleRejectedError("truncated", "The file ends in the middle of its compressed data.")
                pending = raw.take(min(GZIP_INPUT_BYTES, raw.left))
                taken += len(pending)
            block = inflate.decompress(pending, BLOCK_BYTES)
            pending = inflate.unconsumed_tail
            given += len(block)
            # A deflate code has at most nine bits per byte, so a longer stream contains empty blocks.
            if taken - len(pending) - len(inflate.unused_data) > given + given // 8 + GZIP_SPARE_BYTES:
                raise BundleRejectedError("corrupt_compression", "The gzip stream is made of empty blocks.")
            if block:
                yield block
    except zlib.error as error:
        raise BundleRejectedError("corrupt_compression", "The gzip stream is damaged.") from error
    if inflate.unused_data or raw.left:
        raise BundleRejectedError("trailing_data", "There is data after the end of the gzip stream.")
