"""Memory and time stay bounded whatever a file claims: each reading runs alone, and its peak is measured."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.format_builders import SOUND, fields_of, frame, key_folder, member, signed, skippable, tar_of, ustar, zstd

ROOT = Path(__file__).resolve().parent.parent
MEASURE = """
import json, re, sys
from pathlib import Path
from bundles.format.report import check_bundle
from bundles.format.signing import KeyRing
import bundles.format.zstd_reader
def kib(field):  # getrusage's maximum would begin with that of the process which started this one
    return int(re.search(rf"^{field}:\\s+(\\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1])
keys = KeyRing.load([Path(sys.argv[2])])
before = kib("VmRSS")
report = check_bundle(Path(sys.argv[1]), keys)
after = kib("VmHWM")
print(json.dumps([report.error.code if report.error else "verified", (after - before) // 1024]))
"""
MIB = 1 << 20


def manifest_bundle(raw: bytes) -> bytes:
    return zstd(tar_of((raw, signed(fields_of())[1])))


def repeated(lead: bytes, part: bytes, tail: bytes, size: int = 64 * MIB - 1024) -> bytes:
    return manifest_bundle(lead + part * ((size - len(lead) - len(tail)) // len(part)) + tail)


def streamed_bomb() -> bytes:
    """One frame that tells no size: RLE blocks of 128 KiB, behind the header of a large file."""
    lead = ustar(b"alerts.json", (1 << 33) - 1)
    rle = struct.pack("<I", (128 * 1024) << 3 | 2)[:3] + b"\0"
    return struct.pack("<IBB", 0xFD2FB528, 0, 13 << 3) + struct.pack("<I", len(lead) << 3)[:3] + lead + rle * 20_000


def deflate_bomb() -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = squeeze.compress(ustar(b"alerts.json", 300 * MIB))
    for _ in range(300):
        packed += squeeze.compress(bytes(MIB))
    return packed + squeeze.flush()


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zeros in frames": (
        "truncated",
        lambda: frame(ustar(b"alerts.json", (1 << 33) - 1)) + frame(bytes(8 * MIB)) * 9,
    ),
    "RLE blocks": ("ratio_exceeded", streamed_bomb),
    "deflated zeros": ("tar_end_missing", deflate_bomb),
    "many small frames": (
        "corrupt_compression",
        lambda: frame(ustar(b"alerts.json", (1 << 33) - 1)) + frame(bytes(100)) * 900_000,
    ),
    "many frames of nothing": (
        "corrupt_compression",
        lambda: (struct.pack("<IBB", 0xFD2FB528, 0, 0) + b"\1\0\0") * 2_000_000,
    ),
    "many frames of 4 KiB": (
        "truncated",
        lambda: frame(ustar(b"alerts.json", (1 << 33) - 1)) + frame(bytes(4096)) * 200_000,
    ),
    "many skippable frames": ("corrupt_compression", lambda: skippable(0x184D2A50, b"") * 2_000_000),
    "a large skippable frame": ("truncated", lambda: skippable(0x184D2A50, bytes(80 * MIB)) + SOUND()[:50]),
    "a manifest of 1 GiB": ("manifest_too_large", lambda: zstd(ustar(b"manifest.json", 1 << 30) + bytes(100 * MIB))),
    "a manifest of empty arrays": ("manifest_invalid", lambda: repeated(b'{"a":[', b"[],", b"0]}")),
    "a manifest of empty objects": ("manifest_invalid", lambda: repeated(b'{"a":[', b"{},", b"0]}")),
    "a manifest of numbers": ("manifest_invalid", lambda: repeated(b"[", b"1,", b"0]")),
    "a manifest of brackets": ("manifest_invalid", lambda: repeated(b"", b"[", b"")),
    "a manifest of sparse arrays": (
        "manifest_invalid",
        lambda: repeated(b'{"version":"1.1.0","a":[', b"[]," + b" " * 29, b"0]}"),
    ),
    "a manifest of arrays as sparse as in a sound one": (
        "signature_invalid",
        lambda: repeated(b'{"version":"1.1.0","a":[', b"[]," + b" " * 61, b"0]}"),
    ),
    "a manifest of one emoji and much text": (
        "manifest_too_large",
        lambda: repeated('{"a":"\U0001f600'.encode(), b"x", b'"}'),
    ),
    "a signature of brackets": (
        "signature_malformed",
        lambda: zstd(tar_of((signed(fields_of())[0], b"[" * 65_000))),
    ),
    "many members in front": ("manifest_missing", lambda: zstd(member("artifacts/a/x", b"") * 3 + bytes(1024))),
}


def numbered(part: str) -> bytes:
    """A manifest of 64 MiB made of one part after the other, each with its number in it."""
    lead, tail, size = b'{"version":"1.1.0","a":[', b"0]}", 64 * MIB - 1024
    count = (size - len(lead) - len(tail)) // len(part % 0)
    return manifest_bundle(lead + "".join(part % number for number in range(count)).encode() + tail)


# As many values as the densest sound manifest has: what parsing them takes is what the largest sound one needs.
DENSE: dict[str, Callable[[], bytes]] = {
    "chunks": lambda: numbered('{"index":1%08d,"offset":0,"sha256":"' + "0" * 64 + '","size":1},'),
    "strings": lambda: numbered('"%020d",'),
    "numbers": lambda: numbered("1%022d,"),
}


def read_alone(bundle: bytes, tmp_path: Path) -> tuple[str, int]:
    """The verdict of a process of its own, and by how many MiB its memory grew."""
    (tmp_path / "bomb").write_bytes(bundle)
    keys = key_folder(tmp_path / "keys")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "bomb"), str(keys)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    found, grown_mib = json.loads(done.stdout)
    return found, grown_mib


@pytest.mark.parametrize("what", BOMBS)
def test_reading_it_takes_less_than_256_mib(what, tmp_path):
    code, make = BOMBS[what]
    found, grown_mib = read_alone(make(), tmp_path)
    assert found == code
    assert grown_mib < 256


@pytest.mark.parametrize("what", DENSE)
def test_the_largest_manifest_takes_no_more_than_nine_times_its_size(what, tmp_path):
    code, grown_mib = read_alone(DENSE[what](), tmp_path)
    assert code == "signature_invalid"
    assert 64 < grown_mib < 9 * 64
