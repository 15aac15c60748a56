"""The kinds of hostile archives that `hostile_archives` tries, each as its maker."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import zstandard

from fuzz import archive_shapes

MIB = 1 << 20
LINK_MODE = 0o120777 << 16
FOLDED = 300


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A kind of hostile archive.

    Attributes:
        title: for the table.
        make: makes one, in pieces.
        refused: the code with which all of it is refused; empty if it is read, and its members say what is wrong.
        large: whether it takes more time or disk than a test may.
    """

    title: str
    make: Callable[[], Iterator[bytes]]
    refused: str = ""
    large: bool = False


@dataclass(kw_only=True)
class Entry:
    """A member of a zip that is written as it says, whether that is right or not."""

    name: bytes
    packed: bytes = b"x"
    method: int = 0
    flags: int = 0
    size: int | None = None
    crc: int | None = None
    offset: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    mode: int = 0
    absent: bool = False  # not written itself: it shares another's bytes


def built(*entries: Entry, comment: bytes = b"", count: int | None = None) -> bytes:
    """A zip of those entries."""
    body, directory = bytearray(), bytearray()
    for one in entries:
        size = len(one.packed) if one.size is None else one.size
        crc = zlib.crc32(one.packed) if one.crc is None else one.crc
        offset = len(body) if one.offset is None else one.offset
        if not one.absent:
            name = one.name if one.local_name is None else one.local_name
            shown = size if one.local_size is None else one.local_size
            body += struct.pack(
                "<4s5H3L2H", b"PK\3\4", 20, one.flags, one.method, 0, 33, crc, len(one.packed), shown, len(name), 0
            )
            body += name + one.packed
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 3 << 8, 20, one.flags, one.method, 0, 33, crc, len(one.packed), size,
            len(one.name), len(one.extra), len(one.comment), 0, 0, one.mode, offset,
        )  # fmt: skip
        directory += one.name + one.extra + one.comment
    number = len(entries) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, len(directory), len(body), len(comment))
    return bytes(body + directory) + end + comment


def deflated(size: int) -> tuple[bytes, int]:
    """So many zeros, deflated, and their CRC-32."""
    pack, crc, parts = zlib.compressobj(6, zlib.DEFLATED, -15), 0, []
    for _ in range(size // MIB):
        parts.append(pack.compress(bytes(MIB)))
        crc = zlib.crc32(bytes(MIB), crc)
    return b"".join([*parts, pack.flush()]), crc


def _nested() -> bytes:
    packed, crc = deflated(256 * MIB)
    inner = built(Entry(name=b"0.dll", packed=packed, method=8, size=256 * MIB, crc=crc))
    for level in range(5):
        inner = archive_shapes.zipped({f"{level}-{number}.zip": inner for number in range(16)})
    return inner


def _flat(size: int) -> bytes:
    packed, crc = deflated(size)
    return built(Entry(name=b"zeros.bin", packed=packed, method=8, size=size, crc=crc))


def _overlapping() -> bytes:
    packed, crc = deflated(64 * MIB)
    kernel = Entry(name=b"0", packed=packed, method=8, size=64 * MIB, crc=crc)
    more = [
        Entry(name=b"%d" % number, packed=packed, method=8, size=64 * MIB, crc=crc, offset=0, absent=True)
        for number in range(1, FOLDED)
    ]
    return built(kernel, *more)


def _overlapping_small() -> bytes:
    data = Entry(name=b"a", packed=b"evidence" * 100)
    inside = Entry(name=b"b", packed=b"evidence" * 90, offset=60, absent=True)
    return built(data, inside)


def _bzip2_in_zip() -> bytes:
    return built(Entry(name=b"zeros", packed=bz2.compress(bytes(MIB)), method=12, size=400 * MIB))


def _lies_of_size() -> bytes:
    packed, crc = deflated(64 * MIB)
    return built(Entry(name=b"small.txt", packed=packed, method=8, size=100, local_size=100, crc=crc))


def _zip64_lies() -> bytes:
    huge = struct.pack("<2H3Q", 1, 24, 2**63, 2**63, 2**62)
    raw = built(Entry(name=b"huge", extra=huge, size=0xFFFFFFFF, offset=0xFFFFFFFF), Entry(name=b"b"))
    return raw.replace(struct.pack("<2L", 1, 0xFFFFFFFF), struct.pack("<2L", 0xFFFFFFFF, 0xFFFFFFFF))


def _zip64_none() -> bytes:
    return built(Entry(name=b"a", offset=0xFFFFFFFF), Entry(name=b"b"))


def _many(count: int) -> bytes:
    body = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0) + b"%06d" % number
        for number in range(count)
    )
    body_at = 4
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(body), body_at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, body_at + len(body), 1)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return b"PK\3\4" + body + end64 + locator + tail


def _comments() -> bytes:
    entries = [Entry(name=b"%d" % number, comment=b"c" * 65_535) for number in range(500)]
    return built(*entries, comment=b"PK\5\6" * 16_000)


def _specials() -> bytes:
    return b"".join(
        (
            _tar_info("up", tarfile.SYMTYPE, linkname="../../etc/passwd").tobuf(),
            _tar_info("hard", tarfile.LNKTYPE, linkname="/etc/shadow").tobuf(),
            _tar_info("null", tarfile.CHRTYPE, devmajor=1, devminor=3).tobuf(),
            _tar_info("pipe", tarfile.FIFOTYPE).tobuf(),
            bytes(1024),
        )
    )


def _negative() -> bytes:
    return _tar_header(1).replace(b"00000000001\0", b"-0000000001\0")


def _gzip_twice() -> bytes:
    return gzip.compress(gzip.compress(archive_shapes.tarred({"a": b"a"})))


def _xz(raw: bytes) -> bytes:
    return lzma.compress(raw, preset=0)


def _zstd(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(raw)


def _truncated(part: int) -> bytes:
    dice = random.Random(part)
    whole = archive_shapes.zipped({f"{number}.bin": dice.randbytes(5_000) for number in range(20)})
    return whole[: len(whole) * part // 10]


def _truncated_tar(part: int) -> bytes:
    dice = random.Random(part)
    whole = archive_shapes.tarred({f"{number}.bin": dice.randbytes(5_000) for number in range(20)})
    return whole[: len(whole) * part // 10]


def _tar_info(name: str, kind: bytes, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def _tar_header(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    return _tar_info("bomb", kind, size=size).tobuf(tarfile.GNU_FORMAT)


def _pax_records(count: int) -> bytes:
    """Members that each carry a pax header of many keys."""
    out = bytearray()
    for number in range(count):
        keys = b"".join(_pax(b"SCHILY.xattr.%d" % key, b"v" * 80) for key in range(1_000))
        head = _tar_info("pax", tarfile.XHDTYPE, size=len(keys)).tobuf(tarfile.GNU_FORMAT)
        out += head + keys.ljust(-(-len(keys) // 512) * 512, b"\0") + tarfile.TarInfo(f"m{number}").tobuf()
    return bytes(out) + bytes(1024)


def _pax(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length = len(b"%d" % length) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


def _pax_sparse() -> bytes:
    keys = b"".join(
        _pax(key, value)
        for key, value in (
            (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"holes"),
            (b"GNU.sparse.realsize", b"1099511627776"),
        )
    )  # fmt: skip
    head = _tar_info("pax", tarfile.XHDTYPE, size=len(keys)).tobuf(tarfile.GNU_FORMAT)
    body = b"1\n0\n3\n".ljust(512, b"\0") + b"abc"
    info = _tar_info("holes", tarfile.REGTYPE, size=len(body)).tobuf(tarfile.GNU_FORMAT)
    return head + keys.ljust(512, b"\0") + info + body.ljust(1024, b"\0") + bytes(1024)


def _packed_zeros(pack: Callable[[bytes], bytes], size: int) -> bytes:
    """A tar of zeros, packed in parts that follow each other, as every packer allows."""
    return pack(_tar_header(size)) + pack(bytes(8 * MIB)) * (size // (8 * MIB))


def _zstd_window() -> bytes:
    params = zstandard.ZstdCompressionParameters.from_level(3, window_log=29, enable_ldm=True)
    block = random.Random(3).randbytes(MIB)
    stream = zstandard.ZstdCompressor(compression_params=params).compressobj()
    parts = [stream.compress(_tar_header(300 * MIB))]
    parts += [stream.compress(block) for _ in range(300)]
    return b"".join([*parts, stream.flush()])


def _xz_dictionary() -> bytes:
    plain = _tar_header(3) + b"abc".ljust(512, b"\0") + bytes(1024)
    raw = bytearray(lzma.compress(plain, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
    raw[16] = 39  # the size of the dictionary: 3 GiB
    raw[20:24] = zlib.crc32(bytes(raw[12:20])).to_bytes(4, "little")
    return bytes(raw)


LARGE, DAMAGED = "archive_too_large", "archive_damaged"


def _kind(title: str, make: Callable[[], bytes], refused: str = "", *, large: bool = False) -> Hostile:
    return Hostile(title=title, make=lambda: iter([make()]), refused=refused, large=large)


def _entries(*entries: Entry) -> Callable[[], bytes]:
    return partial(built, *entries)


KINDS: tuple[Hostile, ...] = (
    _kind("nested zips, 16 in each of 5 levels (as 42.zip)", _nested),
    _kind("256 MiB of zeros, deflated 1:1030", partial(_flat, 256 * MIB)),
    _kind("one member that unpacks to more than it says", _lies_of_size),
    _kind("zip: bzip2 of 400 MiB", _bzip2_in_zip, LARGE),
    _kind("zip: 300 members over the same bytes (Fifield)", _overlapping, LARGE),
    _kind("zip: a member within another", _overlapping_small),
    _kind("zip: symbolic link to /etc/passwd", _entries(Entry(name=b"link", packed=b"/etc/passwd", mode=LINK_MODE))),
    _kind("zip: absolute name", _entries(Entry(name=b"/etc/passwd"))),
    _kind("zip: name with `..`", _entries(Entry(name=b"../../etc/passwd"))),
    _kind("zip: name with a drive", _entries(Entry(name=b"C:\\Windows\\x.dll"))),
    _kind("zip: name in CP437", _entries(Entry(name=b"\x81ber.txt"))),
    _kind("zip: UTF-8 flag on CP437 bytes", _entries(Entry(name=b"\x81ber.txt", flags=0x800))),
    _kind("zip: zero byte and line breaks in a name", _entries(Entry(name=b"a\0b\r\n.txt"))),
    _kind("zip: the same name twice", _entries(Entry(name=b"a"), Entry(name=b"a", packed=b"y"))),
    _kind("zip: names that differ in case", _entries(Entry(name=b"a"), Entry(name=b"A"))),
    _kind("zip: 250,000 members", partial(_many, 250_000), LARGE),
    _kind("zip64: sizes and offset of 2^62", _zip64_lies, LARGE),
    _kind("zip64: sizes that are not there", _zip64_none),
    _kind("zip: the end says 9 members of 2", partial(built, Entry(name=b"a"), Entry(name=b"b"), count=9)),
    _kind("zip: a damaged member of 3", _entries(Entry(name=b"a"), Entry(name=b"b", crc=1), Entry(name=b"c"))),
    _kind("zip: local name differs", _entries(Entry(name=b"good", local_name=b"evil"))),
    _kind("zip: local size differs", _entries(Entry(name=b"good", local_size=9))),
    _kind("zip: comments of 65,535 bytes", _comments),
    _kind("zip: a name of 65,535 bytes", _entries(Entry(name=b"n" * 65_535), Entry(name=b"b"))),
    *(_kind(f"zip cut off after {part}/10", partial(_truncated, part), DAMAGED) for part in range(1, 10)),
    *(_kind(f"tar cut off after {part}/10", partial(_truncated_tar, part)) for part in range(1, 10)),
    _kind("tar: links, a device and a pipe", _specials),
    _kind("tar: absolute and `..`", lambda: archive_shapes.tarred({"/etc/passwd": b"1", "../x": b"2"})),
    _kind(
        "tar: a header of 64 MiB", lambda: _tar_header(64 * MIB, tarfile.GNUTYPE_LONGNAME) + bytes(64 * MIB), DAMAGED
    ),
    _kind("tar: a member of 2^60 bytes", lambda: _tar_header(2**60) + bytes(1024), LARGE),
    _kind("tar: a member of negative size", _negative),
    _kind("tar: 300 pax headers of 1,000 keys", partial(_pax_records, 300)),
    _kind("tar: a sparse member of 1 TiB (pax)", _pax_sparse, LARGE),
    _kind("gzip of gzip of a tar", _gzip_twice, DAMAGED),
    _kind("tar.gz of 256 MiB of zeros", partial(_packed_zeros, gzip.compress, 256 * MIB), large=True),
    _kind("tar.bz2 of 400 MiB of zeros", partial(_packed_zeros, bz2.compress, 400 * MIB), LARGE, large=True),
    _kind("tar.xz of 400 MiB of zeros", partial(_packed_zeros, _xz, 400 * MIB), LARGE, large=True),
    _kind("tar.zst of 400 MiB of zeros", partial(_packed_zeros, _zstd, 400 * MIB), LARGE, large=True),
    _kind("tar.zst with a window of 512 MiB", _zstd_window, DAMAGED, large=True),
    _kind("tar.xz with a dictionary of 3 GiB", _xz_dictionary, DAMAGED),
)
