"""Builds tar headers (POSIX.1-2017 pax, ustar) from a path and a size, and parses them strictly.

A 1.1 header is determined by its path and size, so a reader builds it and compares. 1.0.0 headers came from other
writers and are parsed: regular files and pax `x` headers only, every field checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.limits import Limits

BLOCK = 512
OCTAL_SIZE_LIMIT = 8 * 1024**3  # the first size that needs more than eleven octal digits
PAX_NAME = b"PaxHeader"
PAX_KEYS = frozenset({"path", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname"})
END = bytes(2 * BLOCK)

_OCTAL = re.compile(rb" *[0-7]+[ \0]*")


@dataclass(frozen=True)
class Header:
    """One 512-byte header as read.

    Attributes:
        name: the path in the header, prefix included, as bytes.
        size: the size field in bytes.
        kind: `0` for a regular file, `x` for a pax header.
    """

    name: bytes
    size: int
    kind: str


def padding(size: int) -> int:
    """The number of zero bytes that pad `size` bytes of data to whole blocks."""
    return -size % BLOCK


def stored_size(path: str, size: int) -> int:
    """The bytes of a member in the tar stream: header (and pax header), data and padding."""
    return len(member_header(path, size)) + size + padding(size)


def whole_member(path: str, data: bytes) -> bytes:
    """A small member in the tar stream: header, data, padding."""
    return member_header(path, len(data)) + data + bytes(padding(len(data)))


@lru_cache(maxsize=4096)
def member_header(path: str, size: int) -> bytes:
    """The header of a member: a ustar block, preceded by a pax `x` member if path or size needs one.

    Args:
        path: the member's path.
        size: its size in bytes.
    """
    raw = path.encode("utf-8")
    records = []
    if len(raw) > 100 or not path.isascii():
        records.append(_pax_record("path", raw))
    if size >= OCTAL_SIZE_LIMIT:
        records.append(_pax_record("size", str(size).encode("ascii")))
    own = _ustar(raw[:100], 0 if size >= OCTAL_SIZE_LIMIT else size, b"0")
    if not records:
        return own
    body = b"".join(records)
    return _ustar(PAX_NAME, len(body), b"x") + body + bytes(padding(len(body))) + own


def prescribed(block: bytes) -> Header | None:
    """The header in `block` if it is exactly the one that 1.1 prescribes for its path and size, without pax.

    Most headers are. Comparing is far faster than `parse`, which checks every field.
    """
    name, size = block[:100].partition(b"\0")[0], block[124:135]
    if not (name.isascii() and size.isdigit()):
        return None
    try:
        header = Header(name, int(size, 8), "0")
    except ValueError:
        return None  # 8 or 9, which are not octal digits
    return header if block == member_header(name.decode("ascii"), header.size) else None


def parse(block: bytes | memoryview) -> Header:
    """Read one header block.

    Raises:
        BundleRejectedError: `tar_header_invalid` or `tar_member_forbidden`.
    """
    raw = bytes(block)
    if raw[257:265] != b"ustar\x0000":
        raise BundleRejectedError("tar_header_invalid", "A tar header is not POSIX ustar.")
    checksum = _number(raw[148:156])
    if sum(raw) - sum(raw[148:156]) + 8 * 32 != checksum:
        raise BundleRejectedError("tar_header_invalid", "A tar header's checksum is wrong.")
    kind = raw[156:157]
    if kind not in {b"0", b"x"}:
        raise BundleRejectedError(
            "tar_member_forbidden", f"A tar member has type {kind!r}; only regular files are allowed."
        )
    if raw[157:257].strip(b"\0"):
        raise BundleRejectedError("tar_member_forbidden", "A tar member names a link target.")
    for first, last in ((100, 108), (108, 116), (116, 124), (136, 148), (329, 337), (337, 345)):
        _number(raw[first:last])
    name, prefix = _text(raw[:100]), _text(raw[345:500])
    if raw[500:].strip(b"\0"):
        raise BundleRejectedError("tar_header_invalid", "A tar header has data after its fields.")
    full = prefix + b"/" + name if prefix and kind != b"x" else name
    return Header(name=full, size=_number(raw[124:136]), kind="x" if kind == b"x" else "0")


def agree(header: Header, path: str, size: int) -> bool:
    """Whether a header matches this path and size, so that readers with and without pax see the same file.

    A path that does not fit is cut to its first 100 bytes in the header, and some writers replace characters beyond
    ASCII with `?`. A size that does not fit is zero in the header.
    """
    raw, plain = path.encode("utf-8"), path.encode("ascii", "replace")
    names = {raw} | {cut for cut in (raw[:100], plain[:100]) if len(raw) > 100 or not path.isascii()}
    return header.name in names and header.size in ({size} if size < OCTAL_SIZE_LIMIT else {size, 0})


def parse_pax(body: bytes, limits: Limits) -> dict[str, str]:
    """Read the records of a pax `x` header.

    Returns:
        keyword → value, only keywords of `PAX_KEYS`.

    Raises:
        BundleRejectedError: `tar_header_invalid` or `tar_member_forbidden`.
    """
    records: dict[str, str] = {}
    position = 0
    while position < len(body):
        match = re.compile(rb"([1-9][0-9]{0,5}) ([!-<>-~]{1,64})=").match(body, position)
        if match is None:
            raise BundleRejectedError("tar_header_invalid", "A pax header cannot be read.")
        end = position + int(match[1])
        keyword = match[2].decode("ascii")
        if end > len(body) or end <= match.end() or body[end - 1 : end] != b"\n":
            raise BundleRejectedError("tar_header_invalid", "A pax record's length is wrong.")
        if keyword not in PAX_KEYS:
            raise BundleRejectedError("tar_member_forbidden", f"A pax header sets {keyword}, which is not allowed.")
        value = body[match.end() : end - 1]
        if keyword in records or len(value) > limits.path_bytes:
            raise BundleRejectedError(
                "tar_header_invalid", f"A pax header sets {keyword} twice, or its value is too long."
            )
        try:
            records[keyword] = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BundleRejectedError("tar_header_invalid", f"A pax header's {keyword} is not UTF-8.") from error
        position = end
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", records.get("size", "0")):
        raise BundleRejectedError("tar_header_invalid", "A pax header's size is not a number.")
    return records


def _ustar(name: bytes, size: int, kind: bytes) -> bytes:
    fields = bytearray(BLOCK)
    fields[0 : len(name)] = name
    fields[100:124] = b"0000644\x000000000\x000000000\x00"
    fields[124:136] = b"%011o\x00" % size
    fields[136:148] = b"00000000000\x00"
    fields[148:156] = b" " * 8
    fields[156:157] = kind
    fields[257:265] = b"ustar\x0000"
    fields[329:345] = b"0000000\x000000000\x00"
    fields[148:156] = b"%06o\x00 " % sum(fields)
    return bytes(fields)


def _pax_record(keyword: str, value: bytes) -> bytes:
    r"""`"%d %s=%s\n"` with the decimal length of the whole record, including the digits of the length."""
    rest = b" " + keyword.encode("ascii") + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode("ascii") + rest


def _number(field: bytes) -> int:
    if not field.strip(b"\0 "):
        return 0
    if _OCTAL.fullmatch(field) is None:
        raise BundleRejectedError("tar_header_invalid", "A tar header has a number that is not octal.")
    return int(field.strip(b"\0 "), 8)


def _text(field: bytes) -> bytes:
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise BundleRejectedError("tar_header_invalid", "A tar header has data after the end of a name.")
    return text
