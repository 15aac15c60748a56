"""The kinds of hostile archives that `hostile_archives` tries, each as its maker and the test that covers it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zstandard

from fuzz import archive_shapes

MIB = 1 << 20
ZIP_TESTS, TAR_TESTS = "test_archives_zip.py", "test_archives_tar.py"
TABLE_TEST = "test_fuzz_archives.py: each kind of the table"
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
        test: that covers it.
    """

    title: str
    make: Callable[[], Iterator[bytes]]
    refused: str = ""
    large: bool = False
    test: str = TABLE_TEST


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
    pack, crc, parts = zlib.compressobj(9, zlib.DEFLATED, -15), 0, []
    for _ in range(size // MIB):
        parts.append(pack.compress(bytes(MIB)))
        crc = zlib.crc32(bytes(MIB), crc)
    return b"".join([*parts, pack.flush()]), crc


def _once(make: Callable[[], bytes]) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([make()])


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
    packed = bz2.compress(bytes(400 * MIB))
    return built(Entry(name=b"zeros", packed=packed, method=12, size=400 * MIB, crc=zlib.crc32(bytes(400 * MIB))))


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
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(body), 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(body), 1)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return b"PK\3\4".ljust(4) * 0 + body + end64 + locator + tail


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
    return pack(_tar_header(size) + bytes(size))


def _zstd_window() -> bytes:
    params = zstandard.ZstdCompressionParameters.from_level(3, window_log=29, enable_ldm=True)
    dice = random.Random(3)
    stream = zstandard.ZstdCompressor(compression_params=params).compressobj()
    block = dice.randbytes(MIB)
    parts = [stream.compress(_tar_header(300 * MIB))]
    parts += [stream.compress(block) for _ in range(300)]
    return b"".join([*parts, stream.flush()])


def _xz_dictionary() -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1536 * MIB - 1}]
    raw = bytearray(lzma.compress(_tar_header(3) + b"abc".ljust(512, b"\0") + bytes(1024), filters=[
        {"id": lzma.FILTER_LZMA2, "preset": 0}]))  # fmt: skip
    del filters
    raw[16] = 39  # the size of the dictionary: 3 GiB
    raw[20:24] = zlib.crc32(bytes(raw[12:20])).to_bytes(4, "little")
    return bytes(raw)


KINDS: tuple[Hostile, ...] = (
    Hostile(title="nested zips, 16 in each of 5 levels (as 42.zip)", make=_once(_nested)),
    Hostile(title="one member of 1 GiB of zeros, deflated", make=_once(lambda: _flat(1024 * MIB)), large=True),
    Hostile(title="one member that unpacks to more than it says", make=_once(_lies_of_size)),
    Hostile(
        title="bzip2 in a zip, 400 MiB of zeros", make=_once(_bzip2_in_zip), refused="archive_too_large", large=True
    ),
    Hostile(title="300 members over the same bytes (Fifield)", make=_once(_overlapping), refused="archive_too_large"),
    Hostile(title="a member within another", make=_once(_overlapping_small)),
    Hostile(
        title="zip: symbolic link to /etc/passwd",
        make=_once(lambda: built(Entry(name=b"link", packed=b"/etc/passwd", mode=LINK_MODE))),
    ),
    Hostile(title="zip: absolute name", make=_once(lambda: built(Entry(name=b"/etc/passwd")))),
    Hostile(title="zip: name with `..`", make=_once(lambda: built(Entry(name=b"../../etc/passwd")))),
    Hostile(title="zip: name `C:\\Windows`", make=_once(lambda: built(Entry(name=b"C:\\Windows\\x.dll")))),
    Hostile(title="zip: name in CP437", make=_once(lambda: built(Entry(name=b"\x81ber.txt")))),
    Hostile(title="zip: UTF-8 flag on CP437 bytes", make=_once(lambda: built(Entry(name=b"\x81ber.txt", flags=0x800)))),
    Hostile(title="zip: zero byte and line breaks in a name", make=_once(lambda: built(Entry(name=b"a\0b\r\n.txt")))),
    Hostile(
        title="zip: the same name twice", make=_once(lambda: built(Entry(name=b"a"), Entry(name=b"a", packed=b"y")))
    ),
    Hostile(title="zip: names that differ in case", make=_once(lambda: built(Entry(name=b"a"), Entry(name=b"A")))),
    Hostile(
        title="zip: 70,000 members",
        make=_once(lambda: archive_shapes.zipped({str(number): b"" for number in range(70_000)}, zipfile.ZIP_STORED)),
        large=True,
    ),
    Hostile(
        title="zip: 250,000 members",
        make=_once(lambda: built(Entry(name=b"a")) and b"PK\3\4" + _many(250_000)),
        refused="archive_too_large",
    ),
    Hostile(title="zip64: sizes and offset of 2^62", make=_once(_zip64_lies), refused="archive_too_large"),
    Hostile(title="zip64: sizes that are not there", make=_once(_zip64_none)),
    Hostile(
        title="zip: the end says 9 members of 2", make=_once(lambda: built(Entry(name=b"a"), Entry(name=b"b"), count=9))
    ),
    Hostile(
        title="zip: a damaged member between two",
        make=_once(lambda: built(Entry(name=b"a"), Entry(name=b"b", crc=1), Entry(name=b"c"))),
    ),
    Hostile(title="zip: local name differs", make=_once(lambda: built(Entry(name=b"good", local_name=b"evil")))),
    Hostile(title="zip: local size differs", make=_once(lambda: built(Entry(name=b"good", local_size=9)))),
    Hostile(
        title="zip: comments of 65,535 bytes",
        make=_once(
            lambda: built(
                *(Entry(name=b"%d" % n, comment=b"c" * 65_535) for n in range(500)), comment=b"PK\5\6" * 16_000
            )
        ),
    ),
    Hostile(
        title="zip: a name of 65,535 bytes", make=_once(lambda: built(Entry(name=b"n" * 65_535), Entry(name=b"b")))
    ),
    *(
        Hostile(
            title=f"zip cut off after {part}/10",
            make=_once(lambda part=part: _truncated(part)),
            refused="archive_damaged",
        )
        for part in range(1, 10)
    ),
    *(
        Hostile(title=f"tar cut off after {part}/10", make=_once(lambda part=part: _truncated_tar(part)))
        for part in range(1, 10)
    ),
    Hostile(
        title="tar: links, a device and a pipe",
        make=_once(
            lambda: b"".join(
                (
                    _tar_info("up", tarfile.SYMTYPE, linkname="../../etc/passwd").tobuf(),
                    _tar_info("hard", tarfile.LNKTYPE, linkname="/etc/shadow").tobuf(),
                    _tar_info("null", tarfile.CHRTYPE, devmajor=1, devminor=3).tobuf(),
                    _tar_info("pipe", tarfile.FIFOTYPE).tobuf(),
                    bytes(1024),
                )
            )
        ),
    ),
    Hostile(
        title="tar: absolute and `..`", make=_once(lambda: archive_shapes.tarred({"/etc/passwd": b"1", "../x": b"2"}))
    ),
    Hostile(
        title="tar: a header of 64 MiB",
        make=_once(lambda: _tar_header(64 * MIB, tarfile.GNUTYPE_LONGNAME) + bytes(64 * MIB)),
        refused="archive_damaged",
    ),
    Hostile(
        title="tar: a member of 2^60 bytes that is not there",
        make=_once(lambda: _tar_header(2**60) + bytes(1024)),
        refused="archive_too_large",
    ),
    Hostile(
        title="tar: a member of negative size",
        make=_once(lambda: _tar_header(1).replace(b"00000000001\0", b"-0000000001\0")),
    ),
    Hostile(title="tar: 300 pax headers of 1,000 keys", make=_once(lambda: _pax_records(300))),
    Hostile(title="tar: a sparse member of 1 TiB (pax)", make=_once(_pax_sparse), refused="archive_too_large"),
    Hostile(
        title="gzip of gzip of a tar",
        make=_once(lambda: gzip.compress(gzip.compress(archive_shapes.tarred({"a": b"a"})))),
        refused="archive_damaged",
    ),
    Hostile(
        title="tar.gz of 300 MiB of zeros", make=_once(lambda: _packed_zeros(gzip.compress, 300 * MIB)), large=True
    ),
    Hostile(
        title="tar.bz2 of 400 MiB of zeros",
        make=_once(lambda: _packed_zeros(bz2.compress, 400 * MIB)),
        refused="archive_too_large",
        large=True,
    ),
    Hostile(
        title="tar.xz of 400 MiB of zeros",
        make=_once(lambda: _packed_zeros(lambda raw: lzma.compress(raw, preset=0), 400 * MIB)),
        refused="archive_too_large",
        large=True,
    ),
    Hostile(
        title="tar.zst of 400 MiB of zeros",
        make=_once(lambda: _packed_zeros(zstandard.ZstdCompressor().compress, 400 * MIB)),
        refused="archive_too_large",
        large=True,
    ),
    Hostile(title="tar.zst with a window of 512 MiB", make=_once(_zstd_window), refused="archive_damaged", large=True),
    Hostile(title="tar.xz with a dictionary of 3 GiB", make=_once(_xz_dictionary), refused="archive_damaged"),
)
