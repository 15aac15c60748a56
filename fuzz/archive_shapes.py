"""The well-made archives that mutants are made of: every shape that the readers of imports know."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

SECRET = b"hello"
MOMENT = (2024, 1, 2, 3, 4, 6)


@dataclass(frozen=True, kw_only=True)
class Original:
    """A well-made archive.

    Attributes:
        raw: its bytes.
        names: of its members.
    """

    raw: bytes
    names: frozenset[str]


def contents() -> dict[str, bytes]:
    """Ordinary members."""
    dice = random.Random(7)
    lines = b'{"event_type":"alert","timestamp":"2024-01-01T00:00:00Z"}\n' * 20
    return {"eve.json": lines, "d/noise.bin": dice.randbytes(700), "d/empty": b"", "Users/ü.txt": b"x" * 3000}


def velociraptor() -> dict[str, bytes]:
    """A small collection as Velociraptor writes it."""
    upload = {
        "Timestamp": "2022-11-22T02:06:02.3631543Z", "started": "", "vfs_path": "C:\\$J", "_Components": [
            "uploads", "ntfs", "C:", "$J"], "file_size": 9000, "uploaded_size": 512, "Type": "",
    }  # fmt: skip
    row = {"SourceFile": "C:\\$J", "SourceFileSha256": "0" * 64, "Name": "x"}
    log = {"_ts": 1669082757, "client_time": 1669082757, "level": "DEFAULT", "message": "Starting"}
    return {
        "uploads.json": _lines(upload),
        "log.json": _lines(log, log),
        "results/Windows.KapeFiles.Targets.json": _lines(row),
        "uploads/ntfs/C%3A/$J": b"usn" * 100,
        "uploads/ntfs/C%3A/$J.idx": b'{"ranges":[]}',
    }


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, piped: bool = False) -> bytes:
    """A zip; `piped` as a writer makes it that cannot go back, with the sizes behind each content."""
    out = Pipe() if piped else io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, MOMENT)
            archive.writestr(info, content, method)
    return out.written if isinstance(out, Pipe) else out.getvalue()


def zip64(files: Mapping[str, bytes]) -> bytes:
    """A small zip with the sizes of zip64 in every local header."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            with archive.open(zipfile.ZipInfo(name, MOMENT), "w", force_zip64=True) as member:
                member.write(content)
    return out.getvalue()


def sealed(name: str, plain: bytes, password: bytes = SECRET) -> bytes:
    """A zip with one member that is encrypted by AES-256, as WinZip and Velociraptor write it."""
    salt = bytes(range(16))
    keys = PBKDF2HMAC(SHA1(), 66, salt, 1000).derive(password)  # noqa: S303 -- the format's own
    packed = zlib.compress(plain)[2:-4]
    cipher = Cipher(algorithms.AES(keys[:32]), modes.ECB()).encryptor()  # noqa: S305 -- blocks of its counter mode
    stream = b"".join(cipher.update((at + 1).to_bytes(16, "little")) for at in range(len(packed) // 16 + 1))
    body = bytes(a ^ b for a, b in zip(packed, stream, strict=False))
    mac = HMAC(keys[32:64], SHA1())  # noqa: S303
    mac.update(body)
    body = salt + keys[64:] + body + mac.finalize()[:10]
    extra = struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, 8)
    raw_name = name.encode()
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 51, 9, 99, 0, 33, 0, 0, 0, len(raw_name), len(extra)) + raw_name + extra
    follow = struct.pack("<4s3L", b"PK\7\x08", 0, len(body), len(plain))
    lengths = (len(body), len(plain), len(raw_name), len(extra))
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 51, 51, 9, 99, 0, 33, 0, *lengths, 0, 0, 0, 0, 0) + raw_name + extra
    start = len(local) + len(body) + len(follow)
    return local + body + follow + entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), start, 0)


def tarred(files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT, pack: Callable[[bytes], bytes] = bytes) -> bytes:
    """A tar, packed by `pack`; modified times have fractions, which pax keeps."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_700_000_000.25
            archive.addfile(info, io.BytesIO(content))
    return pack(out.getvalue())


def sparse() -> bytes:
    """A tar with a sparse member in each of GNU's form: three bytes in a hole of 5,000."""
    info = tarfile.TarInfo("holes")
    info.type = tarfile.GNUTYPE_SPARSE
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = b"%011o\0" % 3
    raw[386:410] = b"%011o\0%011o\0" % (2000, 3)
    raw[410:434] = b"%011o\0%011o\0" % (5000, 0)
    raw[482], raw[483:495] = 0, b"%011o\0" % 5000
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    pax = tarfile.TarInfo("holes-pax")
    pax.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes2",
                       "GNU.sparse.realsize": "5000"}  # fmt: skip
    body = b"1\n2000\n3\n".ljust(512, b"\0") + b"abc"
    pax.size = len(body)
    second = pax.tobuf(tarfile.PAX_FORMAT) + body.ljust(1024, b"\0")
    return bytes(raw) + b"abc".ljust(512, b"\0") + second + bytes(1024)


def _lines(*records: Mapping[str, object]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


class Pipe(io.RawIOBase):
    """A file that cannot be gone back in."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def writable(self) -> bool:
        """It takes bytes."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take the next bytes; `written` has all of them."""
        self.written += bytes(data)
        return len(data)


def _originals() -> dict[str, Original]:
    plain, long = contents(), {"l" * 150 + "/" + "n" * 120: b"long", "k" * 99: b"short"}
    collection = velociraptor()
    inner = zipped(collection)

    def of(raw: bytes, files: Mapping[str, bytes]) -> Original:
        return Original(raw=raw, names=frozenset(files))

    made = {
        "zip stored": of(zipped(plain, zipfile.ZIP_STORED), plain),
        "zip deflate": of(zipped(plain), plain),
        "zip bzip2": of(zipped(plain, zipfile.ZIP_BZIP2), plain),
        "zip piped": of(zipped(plain, piped=True), plain),
        "zip piped, stored": of(zipped(plain, zipfile.ZIP_STORED, piped=True), plain),
        "zip64": of(zip64(plain), plain),
        "zip in a zip": of(zipped({"in.zip": zipped(plain), "a.txt": b"a"}), {"in.zip": b"", "a.txt": b""}),
        "velociraptor": of(inner, collection),
        "velociraptor sealed": of(sealed("data.zip", inner), {"data.zip": b""}),
        "zip AES": of(sealed("data.txt", b"secret evidence" * 10), {"data.txt": b""}),
        "tar sparse": of(sparse(), {"holes": b"", "holes2": b""}),
        "tar ustar": of(tarred(plain, tarfile.USTAR_FORMAT), plain),
        "tar long GNU": of(tarred(long, tarfile.GNU_FORMAT), long),
        "tar long pax": of(tarred(long), long),
        "tar of a gzipped tar": of(tarred({"in.tar.gz": gzip.compress(tarred(plain), mtime=0)}), {"in.tar.gz": b""}),
        "tar gzip twice": Original(raw=tarred(plain, pack=_gzip_twice), names=frozenset()),
    }  # fmt: skip
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": lambda raw: gzip.compress(raw, mtime=0),
        "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
    }
    return made | {f"tar {name}": of(tarred(plain, pack=pack), plain) for name, pack in packers.items()}


def _gzip_twice(raw: bytes) -> bytes:
    return gzip.compress(gzip.compress(raw, mtime=0), mtime=0)


ORIGINALS = _originals()
