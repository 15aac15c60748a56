"""The central directory of a zip file (PKWARE APPNOTE 6.3.10, sections 4.3.12 to 4.3.16), read strictly and by itself.

`zipfile` refuses a whole archive for one name that is not UTF-8, cuts names at a zero byte, and reads a directory of
any size. Evidence is not refused for one member, so the directory is read here; contents are unpacked by `zip_reader`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from bundles.intake.archives.members import ArchiveError, ArchiveLimits
from bundles.intake.archives.names import text_of

END = struct.Struct("<4s4H2LH")
END64_LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
ENTRY = struct.Struct("<4s6H3L5H2L")
END_SIGN, LOCATOR_SIGN, END64_SIGN, ENTRY_SIGN = b"PK\5\6", b"PK\6\7", b"PK\6\6", b"PK\1\2"
SIGNATURE_SIGN = b"PK\5\5"
LONGEST_COMMENT = 65_535
U16, U32 = 0xFFFF, 0xFFFFFFFF
UTF8_FLAG, ENCRYPTED_FLAG = 0x800, 0x1
ZIP64_EXTRA, NTFS_EXTRA, TIMES_EXTRA, UNICODE_PATH_EXTRA = 0x0001, 0x000A, 0x5455, 0x7075
FIRST_DAY_IS_OVER = "1980-01-02"
UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry, as it is written.

    Attributes:
        raw_name: bytes of the name.
        name: as text: UTF-8 if its flag or an extra field says so, otherwise CP437.
        flags, method: as written; method 8 is deflate, 0 stored.
        crc: of the content.
        packed, size: bytes.
        offset: of the local header, from the beginning of the file.
        made_by: the system whose attributes they are; 3 is Unix.
        attributes: 32 bits.
        modified: see `members.Member`.
        times: see `members.Member`.
        fault: why the entry cannot be used; empty if it can.
    """

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    made_by: int
    attributes: int
    modified: str
    times: dict[str, str]
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Directory:
    """Where the central directory is.

    Attributes:
        start, end: offsets in the file.
        count: entries that it should have.
        shift: bytes in front of the archive, such as of a program that unpacks itself.
    """

    start: int
    end: int
    count: int
    shift: int


def find(file: BinaryIO, size: int, limits: ArchiveLimits) -> Directory:
    """Find the central directory.

    Raises:
        ArchiveError: `archive_damaged`, or `archive_too_large`.
    """
    tail_at = max(0, size - END.size - LONGEST_COMMENT)
    file.seek(tail_at)
    tail = file.read(size - tail_at)
    at = _end_in(tail)
    if at < 0:
        raise ArchiveError(
            "archive_damaged", "It has no end of a zip's central directory: it was cut off, or is no zip."
        )
    _, disk, first_disk, _, count, length, start, _ = END.unpack_from(tail, at)
    end = tail_at + at
    if U16 in {count, disk} or U32 in {length, start}:
        count, length, start, end = _zip64(file, end, (count, length, start))
        disk = first_disk = 0
    if disk or first_disk:
        raise ArchiveError("archive_damaged", "It is one part of a zip that was split; join the parts first.")
    if length > limits.directory_bytes or count > limits.members:
        raise ArchiveError(
            "archive_too_large",
            f"It lists {count} members in {length} bytes; at most {limits.members} members in {limits.directory_bytes} "
            "bytes are read.",
        )
    shift = end - length - start
    if shift < 0:
        raise ArchiveError("archive_damaged", "Its central directory is not where its end says.")
    return Directory(start=start + shift, end=end, count=count, shift=shift)


def _end_in(tail: bytes) -> int:
    """Where the end record is: the last one whose comment ends with the file, or else the last; -1 if there is none.

    A comment can hold what looks like an end record.
    """
    last = -1
    at = tail.rfind(END_SIGN)
    while at >= 0:
        if len(tail) - at >= END.size:
            last = at if last < 0 else last
            if at + END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
                return at
        at = tail.rfind(END_SIGN, 0, at + len(END_SIGN) - 1)
    return last


def entries(file: BinaryIO, directory: Directory) -> tuple[list[Entry], str]:
    """The entries in their order, and why there may be more, as a sentence; empty if the directory is whole."""
    file.seek(directory.start)
    raw = file.read(directory.end - directory.start)
    found: list[Entry] = []
    at = 0
    while raw[at : at + 4] == ENTRY_SIGN and at + ENTRY.size <= len(raw):
        name_len, extra_len, comment_len = struct.unpack_from("<3H", raw, at + 28)
        end = at + ENTRY.size + name_len + extra_len + comment_len
        if end > len(raw):
            break
        found.append(_entry(raw[at:end], name_len, extra_len, directory.shift))
        at = end
    if len(found) != directory.count:
        return found, f"Its central directory has {len(found)} members where its end says {directory.count}."
    if at < len(raw) and raw[at : at + 4] != SIGNATURE_SIGN:
        return found, f"Its central directory has {len(raw) - at} bytes that are no members."
    return found, ""


def _zip64(file: BinaryIO, end: int, short: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Count, length and start from the zip64 end; the short ones if there is none."""
    if end < END64_LOCATOR.size:
        return (*short, end)
    file.seek(end - END64_LOCATOR.size)
    sign, _, at, _ = END64_LOCATOR.unpack(file.read(END64_LOCATOR.size))
    if sign != LOCATOR_SIGN:
        return (*short, end)
    # The end record stands right before its locator unless it has a part that nobody writes; `at` may be shifted.
    for where in (end - END64_LOCATOR.size - END64.size, at):
        if where < 0:
            continue
        file.seek(where)
        raw = file.read(END64.size)
        if len(raw) == END64.size and raw[:4] == END64_SIGN:
            *_, count, length, start = END64.unpack(raw)
            return count, length, start, where
    raise ArchiveError("archive_damaged", "Its zip64 end of the central directory is missing.")


def _entry(raw: bytes, name_len: int, extra_len: int, shift: int) -> Entry:
    _, made_by, _, flags, method, dos_time, dos_date, crc, packed, size, _, _, _, _, _, attributes, offset = (
        ENTRY.unpack(raw[: ENTRY.size])
    )
    name = raw[ENTRY.size : ENTRY.size + name_len]
    extra = _extras(raw[ENTRY.size + name_len : ENTRY.size + name_len + extra_len])
    fault = ""
    long = extra.get(ZIP64_EXTRA, b"")
    values, at = [size, packed, offset], 0
    for place, value in enumerate(values):
        if value == U32:
            if len(long) < at + 8:
                fault = fault or "its zip64 sizes are missing"
                break
            values[place] = int.from_bytes(long[at : at + 8], "little")
            at += 8
    size, packed, offset = values
    times = _unix_times(extra.get(TIMES_EXTRA, b"")) | _ntfs_times(extra.get(NTFS_EXTRA, b""))
    modified = times.pop("modified", "") or _dos_time(dos_date, dos_time)
    if modified < FIRST_DAY_IS_OVER:  # a zip cannot hold an earlier time: this is a writer's placeholder
        modified = ""
    return Entry(
        raw_name=name,
        name=_text(name, extra.get(UNICODE_PATH_EXTRA, b""), is_utf8=bool(flags & UTF8_FLAG)),
        flags=flags,
        method=method,
        crc=crc,
        packed=packed,
        size=size,
        offset=offset + shift,
        made_by=made_by >> 8,
        attributes=attributes,
        modified=modified,
        times=times,
        fault=fault,
    )


def zip64_sizes(extra: bytes, size: int, packed: int) -> tuple[int, int]:
    """Size and packed size of a local header, from its extra fields where they do not fit into 32 bits.

    Args:
        extra: the header's extra fields.
        size: as the header has it.
        packed: as the header has it.
    """
    long = _extras(extra).get(ZIP64_EXTRA, b"")
    values, at = [size, packed], 0
    for place, value in enumerate(values):
        if value == U32 and len(long) >= at + 8:
            values[place] = int.from_bytes(long[at : at + 8], "little")
            at += 8
    return values[0], values[1]


def _text(raw: bytes, unicode_path: bytes, *, is_utf8: bool) -> str:
    """The name as text; Info-ZIP's extra field counts only if it belongs to this very name."""
    if unicode_path[:1] == b"\1" and unicode_path[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
        return text_of(unicode_path[5:], "utf-8")
    return text_of(raw, "utf-8" if is_utf8 else "cp437")


def _extras(raw: bytes) -> dict[int, bytes]:
    """The extra fields by number, the first of each. Some writers pad: what does not fit a field ends the list."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(raw):
        number, length = struct.unpack_from("<2H", raw, at)
        if at + 4 + length > len(raw):
            break
        found.setdefault(number, raw[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _dos_time(date: int, time: int) -> str:
    """A DOS date and time, which has no zone and even seconds; empty for none."""
    year, month, day = 1980 + (date >> 9), date >> 5 & 15, date & 31
    try:
        return datetime(year, month, day, time >> 11, time >> 5 & 63, min(59, (time & 31) * 2)).isoformat()  # noqa: DTZ001 -- it has no zone
    except ValueError:
        return ""


def _unix_times(extra: bytes) -> dict[str, str]:
    """The `UT` extra field: seconds since 1970; the central directory holds the time of modification alone."""
    if len(extra) < 5 or not extra[0] & 1:
        return {}
    seconds = int.from_bytes(extra[1:5], "little", signed=True)
    return {"modified": (UNIX_EPOCH + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")}


def _ntfs_times(extra: bytes) -> dict[str, str]:
    """The NTFS extra field: three FILETIMEs of 100 ns since 1601, the last digit of which is dropped."""
    if len(extra) < 32 or extra[4:8] != b"\x01\x00\x18\x00":
        return {}
    found = {}
    for name, at in (("modified", 8), ("accessed", 16), ("created", 24)):
        ticks = int.from_bytes(extra[at : at + 8], "little")
        try:
            moment = FILETIME_EPOCH + timedelta(microseconds=ticks // 10)
        except OverflowError:
            continue
        if ticks:
            found[name] = moment.isoformat().replace("+00:00", "Z")
    return found
