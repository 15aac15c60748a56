"""Reads a zip whose maker may be hostile, one member at a time.

Stored and deflated contents are unpacked by zlib; `stream-unzip` unpacks the other methods and decrypts.

The central directory says what there is. Each member's bytes are then read from its own range of the file, which must
not overlap another's, and its local header must agree with the directory; so what is listed is what is unpacked.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import stream_unzip

from bundles.intake.archives import zip_directory
from bundles.intake.archives.members import (
    FILE,
    FOLDER,
    LINK,
    SPECIAL,
    ArchiveError,
    ArchiveLimits,
    Kind,
    Member,
    blocks,
    bounded,
    require_within,
)
from bundles.intake.archives.names import with_faults
from bundles.intake.archives.zip_directory import ENCRYPTED_FLAG, U32, ZIP64_EXTRA, Entry

LOCAL = struct.Struct("<4s5H3L2H")
LOCAL_SIGN = b"PK\3\4"
AFTER = zip_directory.ENTRY_SIGN + bytes(64)  # a reader of a stream looks ahead for it
SIZES_FOLLOW_FLAG, AES_METHOD, STORED_METHOD = 0x8, 99, 0
PLAIN_METHODS = frozenset({STORED_METHOD, 8})  # unpacked here; `stream-unzip` reads the others
PIECE_BYTES = 256 * 1024
UNIX = 3
FOLDER_ATTRIBUTE = 0x10
METHODS = {0: "stored", 8: "deflate", 9: "deflate64", 12: "bzip2", 99: "AES"}
OVERLAP = "its bytes overlap those of another member, as in a decompression bomb"
OUTSIDE = "its bytes lie outside of the archive"
PASSWORD_MISSING = (
    stream_unzip.MissingPasswordError,
    stream_unzip.MissingZipCryptoPasswordError,
    stream_unzip.MissingAESPasswordError,
)
PASSWORD_WRONG = (stream_unzip.IncorrectZipCryptoPasswordError, stream_unzip.IncorrectAESPasswordError)


class ZipArchive:
    """See `members.Archive`.

    Args:
        path: the file.
        password: for encrypted members; None for none.
        limits: of the archive.

    Raises:
        ArchiveError: `archive_damaged` or `archive_too_large`.
    """

    def __init__(self, path: Path, *, password: bytes | None = None, limits: ArchiveLimits | None = None) -> None:
        self._path = path
        self._password = password
        limits = limits or ArchiveLimits()
        size = path.stat().st_size
        with path.open("rb") as file:
            directory = zip_directory.find(file, size, limits)
            self._entries, self.cut = zip_directory.entries(file, directory)
        self._end = directory.start
        self._ends = self._ranges()
        listed = [self._member(index, entry, limits) for index, entry in enumerate(self._entries)]
        require_within(listed, size, limits)
        self._members = with_faults(listed)

    def members(self) -> list[Member]:
        """See `members.Archive`."""
        return self._members

    def read(self, member: Member) -> Iterator[bytes]:
        """See `members.Archive`."""
        if member.unreadable:
            raise ArchiveError("archive_member_damaged", f"It cannot be read: {member.unreadable}.")
        entry = self._entries[member.index]
        with self._path.open("rb") as file:
            if entry.method in PLAIN_METHODS and not entry.flags & ENCRYPTED_FLAG:
                pieces = _plain_member(file, entry, self._ends[member.index])
                yield from _checked(bounded(pieces, entry.size), entry)
                return
            packed = _local_member(file, entry, self._ends[member.index])
            try:
                for _, _, pieces in stream_unzip.stream_unzip(packed, password=self._password):
                    yield from _checked(bounded(pieces, entry.size), entry)
                    return
            except PASSWORD_MISSING:
                raise ArchiveError("archive_password_missing", "It is encrypted, and no password was given.") from None
            except PASSWORD_WRONG:
                raise ArchiveError("archive_password_wrong", "It is encrypted with another password.") from None
            except stream_unzip.UnsupportedFeatureError:
                raise ArchiveError(
                    "archive_method_unknown", f"It is packed by method {entry.method}, which cannot be read here."
                ) from None
            except stream_unzip.UnzipError as error:
                what = f"It is damaged ({type(error).__name__.removesuffix('Error')})."
                raise ArchiveError("archive_member_damaged", what) from None
        raise ArchiveError("archive_member_damaged", "There is no member where the central directory says.")

    def _ranges(self) -> list[int]:
        """For each entry the offset at which the next member begins, or the central directory."""
        starts = sorted({entry.offset for entry in self._entries if 0 <= entry.offset < self._end})
        following = dict(pairwise([*starts, self._end]))
        return [following.get(entry.offset, entry.offset) for entry in self._entries]

    def _member(self, index: int, entry: Entry, limits: ArchiveLimits) -> Member:
        mode = entry.attributes >> 16 if entry.made_by == UNIX else 0
        kind = _kind(entry, mode)
        attributes: dict[str, str | int] = {"method": METHODS.get(entry.method, str(entry.method)), "crc32": entry.crc}
        if entry.flags & ENCRYPTED_FLAG:
            attributes["encrypted"] = "yes"
        if mode:
            attributes["mode"] = f"{stat.S_IMODE(mode):04o}"
        elif entry.attributes & 0x27:
            attributes["dos_attributes"] = entry.attributes & 0xFF
        return Member(
            index=index,
            raw_name=entry.raw_name[: limits.name_bytes],
            name=entry.name[: limits.name_bytes],
            kind=kind,
            size=entry.size,
            modified=entry.modified,
            times=entry.times,
            attributes=attributes,
            unreadable=self._unreadable(index, entry, limits),
        )

    def _unreadable(self, index: int, entry: Entry, limits: ArchiveLimits) -> str:
        if entry.fault:
            return entry.fault
        if len(entry.raw_name) > limits.name_bytes:
            return f"its name is longer than {limits.name_bytes} bytes"
        if not 0 <= entry.offset < self._end:
            return OUTSIDE
        if entry.offset + LOCAL.size + entry.packed > self._ends[index]:
            return OVERLAP
        return ""


def _kind(entry: Entry, mode: int) -> Kind:
    kind = stat.S_IFMT(mode)
    if entry.raw_name.endswith(b"/") or kind == stat.S_IFDIR or (not mode and entry.attributes & FOLDER_ATTRIBUTE):
        return FOLDER
    if kind == stat.S_IFLNK:
        return LINK
    return FILE if kind in {0, stat.S_IFREG} else SPECIAL


def _checked(pieces: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    """The pieces, whose CRC-32 must be that of the directory; `stream-unzip` compares it with the local header's alone.

    Raises:
        ArchiveError: `archive_member_damaged`.
    """
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
        yield piece
    if crc != entry.crc and not (entry.method == AES_METHOD and entry.crc == 0):  # AES has a check of its own
        raise ArchiveError("archive_member_damaged", "Its CRC-32 is not that of the central directory.")


def _plain_member(file: BinaryIO, entry: Entry, end: int) -> Iterator[bytes]:
    """The content of a member that is stored or deflated, read from its own range of the file.

    Raises:
        ArchiveError: `archive_member_damaged`: the local header contradicts the central directory, or the packed bytes
            are not those of one deflate stream.
    """
    header = _local_header(file, entry)
    if not header.flags & SIZES_FOLLOW_FLAG and (header.crc, header.packed, header.size) != (
        entry.crc, entry.packed, entry.size,
    ):  # fmt: skip
        what = "It is damaged: its local header has another size or checksum than the central directory."
        raise ArchiveError("archive_member_damaged", what)
    if header.start + entry.packed > end:
        raise ArchiveError("archive_member_damaged", f"It cannot be read: {OVERLAP}.")
    packed = blocks(file, header.start, header.start + entry.packed)
    return packed if entry.method == STORED_METHOD else _inflated(packed)


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of one deflate stream, in pieces of at most `PIECE_BYTES` however densely they are packed.

    Raises:
        ArchiveError: `archive_member_damaged`.
    """
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for block in packed:
            piece = stream.decompress(block, PIECE_BYTES)
            while piece:
                yield piece
                piece = stream.decompress(stream.unconsumed_tail, PIECE_BYTES)
            if stream.unused_data:
                raise ArchiveError("archive_member_damaged", "It has bytes behind the end of its packed content.")
    except zlib.error:
        raise ArchiveError("archive_member_damaged", "It is damaged (Deflate).") from None
    if not stream.eof:
        raise ArchiveError("archive_member_damaged", "Its packed content ends too early.")


@dataclass(frozen=True, kw_only=True)
class _LocalHeader:
    """A member's local header; sizes as zip64 gives them, `start` is the offset of the packed bytes."""

    version: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    name: bytes
    extra: bytes
    start: int


def _local_header(file: BinaryIO, entry: Entry) -> _LocalHeader:
    """The local header of an entry.

    Raises:
        ArchiveError: `archive_member_damaged`: it is none, or contradicts the central directory.
    """
    file.seek(entry.offset)
    raw = file.read(LOCAL.size)
    if len(raw) < LOCAL.size or raw[:4] != LOCAL_SIGN:
        raise ArchiveError("archive_member_damaged", "There is no member where the central directory says.")
    _, version, flags, method, time, date, crc, packed, size, name_len, extra_len = LOCAL.unpack(raw)
    name, extra = file.read(name_len), file.read(extra_len)
    if name != entry.raw_name or method != entry.method or (flags ^ entry.flags) & ENCRYPTED_FLAG:
        what = "Its local header has another name, method or encryption than the central directory."
        raise ArchiveError("archive_member_damaged", what)
    if U32 in {packed, size}:
        size, packed = zip_directory.zip64_sizes(extra, size, packed)
    start = entry.offset + LOCAL.size + name_len + extra_len
    return _LocalHeader(
        version=version, flags=flags, method=method, time=time, date=date, crc=crc, packed=packed, size=size, name=name,
        extra=extra, start=start,
    )  # fmt: skip


def _local_member(file: BinaryIO, entry: Entry, end: int) -> Iterator[bytes]:
    """A member as `stream-unzip` reads it: local header and packed bytes, followed by the sign of a directory.

    A writer that could not go back put the sizes behind the content, where a reader of a stream must guess. Here they
    are known from the directory, so they are put into the header. The old encryption needs the header as it is.

    Raises:
        ArchiveError: `archive_member_damaged`: the local header contradicts the central directory.
    """
    header = _local_header(file, entry)
    flags, extra, end_of_packed = header.flags, header.extra, end
    crc, packed, size = header.crc, header.packed, header.size
    if flags & SIZES_FOLLOW_FLAG and not (flags & ENCRYPTED_FLAG and header.method != AES_METHOD):
        flags &= ~SIZES_FOLLOW_FLAG
        crc, packed, size = entry.crc, entry.packed, entry.size
        end_of_packed = header.start + entry.packed
    if max(packed, size) >= U32:
        extra = _without_zip64(extra) + struct.pack("<2H2Q", ZIP64_EXTRA, 16, size, packed)
        packed = size = U32
    yield (
        LOCAL.pack(
            LOCAL_SIGN, header.version, flags, header.method, header.time, header.date, crc, packed, size,
            len(header.name), len(extra),
        ) + header.name + extra
    )  # fmt: skip
    yield from blocks(file, header.start, end_of_packed)
    yield AFTER


def _without_zip64(extra: bytes) -> bytes:
    """A local header's extra fields without its zip64 sizes, which are zero where the real ones follow the content."""
    kept, at = b"", 0
    while at + 4 <= len(extra):
        number, length = struct.unpack_from("<2H", extra, at)
        kept += b"" if number == ZIP64_EXTRA else extra[at : at + 4 + length]
        at += 4 + length
    return kept
