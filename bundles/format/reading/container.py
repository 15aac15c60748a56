"""Step 1 of the reading plan: the file itself and its compression, as a bounded stream of tar bytes.

A file is opened once, without following a link, and recognised by its first bytes. `tar_blocks` then gives the
decompressed bytes in order and refuses whatever is not exactly one compressed stream: nothing in front, between or
behind. `raw` bytes are shown to the caller too, so that the file's own digest costs no second reading.
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
    """A regular file that is open already, such as a spooled one without a name; `name` is for reports."""

    descriptor: int
    name: str


Source = Path | Opened


@contextmanager
def open_bundle(path: Source) -> Iterator[BundleFile]:
    """Open `path` for the time of one verification.

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
    """The decompressed bytes of a bundle, in order, in blocks of some MiB.

    The end of the iteration means that the compressed stream ended soundly at the end of the file.

    Args:
        file: what to read, always from its start.
        limits: bounds on window, ratio and total.
        on_raw: called with the file's bytes as they are consumed, in order, each byte once.

    Raises:
        BundleRejectedError: a code of the steps `container` or `end`.
        CannotCheckError: `zstandard_missing`, or `bundle_changed` when the file shrank meanwhile.
    """
    raw = RawReader(file, on_raw or _unseen)
    if file.kind == "gzip":
        blocks = _gunzip(raw)
    else:
        try:
            from bundles.format.reading import zstd_reader  # zstandard may be missing where only gzip is used
        except ImportError as error:
            raise CannotCheckError("zstandard_missing", "Reading this bundle needs the zstandard library.") from error
        blocks = zstd_reader.decompress(raw, limits)
    bounded = _bounded(blocks, file.size, limits)
    file.streams.append(weakref.ref(bounded))
    return bounded


def _unseen(block: memoryview) -> None:
    """What `on_raw` is when nobody looks."""


def _kind(magic: bytes) -> str:
    if magic == ZSTD_MAGIC:
        return "zstd"
    if magic[:3] == GZIP_MAGIC:
        return "gzip"
    if len(magic) == 4 and magic[1:] == b"\x2a\x4d\x18" and 0x50 <= magic[0] <= 0x5F:
        return "zstd"  # begins with a skippable frame
    raise BundleRejectedError("not_a_bundle", "The file begins neither as zstd nor as gzip does.")


def _bounded(blocks: Generator[bytes, None, None], size: int, limits: Limits) -> Generator[bytes, None, None]:
    total = 0
    with closing(blocks):
        for block in blocks:
            total += len(block)
            if total > limits.total_bytes:
                raise BundleRejectedError("size_exceeded", "The bundle unpacks to more than is allowed.")
            if total > limits.ratio_grace_bytes and total > limits.ratio * size:
                raise BundleRejectedError("ratio_exceeded", "The bundle unpacks to far more than honest evidence does.")
            yield block


def _check_gzip_header(head: bytes) -> None:
    """Check that a gzip header (RFC 1952) has no optional field but a plain file name.

    Raises:
        BundleRejectedError: `reserved_bits`, `truncated` or `corrupt_compression`.
    """
    if len(head) < GZIP_HEAD_BYTES:
        raise BundleRejectedError("truncated", "The file ends in the middle of its gzip header.")
    flags = head[3]
    if flags & GZIP_RESERVED:
        raise BundleRejectedError("reserved_bits", "The gzip header sets bits that must be zero.")
    if flags & ~GZIP_NAME:
        raise BundleRejectedError("corrupt_compression", "The gzip header has fields that no bundle needs.")
    name, end, _ = head[GZIP_HEAD_BYTES:].partition(b"\0")
    if flags and not (end and _plain_name(name)):
        raise BundleRejectedError("corrupt_compression", "The name in the gzip header is no plain file name.")


def _plain_name(raw: bytes) -> bool:
    """Whether a gzip header's name could be that of an artifact: nothing leads out of a folder or steers a terminal."""
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
            # No deflate code needs more than nine bits a byte: what is longer holds blocks of nothing.
            if taken - len(pending) - len(inflate.unused_data) > given + given // 8 + GZIP_SPARE_BYTES:
                raise BundleRejectedError("corrupt_compression", "The gzip stream is made of empty blocks.")
            if block:
                yield block
    except zlib.error as error:
        raise BundleRejectedError("corrupt_compression", "The gzip stream is damaged.") from error
    if inflate.unused_data or raw.left:
        raise BundleRejectedError("trailing_data", "There is data behind the end of the gzip stream.")
