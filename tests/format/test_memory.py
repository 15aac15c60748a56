"""Memory stays bounded whatever a file claims: each bundle is read in its own process, and its peak is measured."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.format_builders import (
    SOUND,
    canonical,
    fields_of,
    frame,
    gzipped,
    hashed,
    key_folder,
    member,
    sha256,
    signed,
    skippable,
    tar_of,
    ustar,
    zstd,
)

ROOT = Path(__file__).resolve().parents[2]
MEASURE = """
import json, re, sys
from pathlib import Path
from bundles.format.reading.report import check_bundle
from bundles.format.model.signing import KeyRing
import bundles.format.reading.zstd_reader
def kib(field):  # getrusage's maximum would begin with that of the process which started this one
    return int(re.search(rf"^{field}:\\s+(\\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1])
report = check_bundle(Path(sys.argv[1]), KeyRing.load([Path(sys.argv[2])]))
print(json.dumps([report.error.code if report.error else "verified", kib("VmHWM") // 1024]))
"""
MIB = 1 << 20


def manifest_bundle(raw: bytes) -> bytes:
    return zstd(tar_of((raw, signed(fields_of())[1])))


def repeated(lead: bytes, part: bytes, tail: bytes, size: int = 16 * MIB - 1024) -> bytes:
    return manifest_bundle(lead + part * ((size - len(lead) - len(tail)) // len(part)) + tail)


def streamed_bomb() -> bytes:
    """One frame that states no size: RLE blocks of 128 KiB after the header of a large file."""
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
    "empty deflate blocks": (
        "corrupt_compression",
        lambda: gzipped(b"")[:10] + b"\0\0\0\xff\xff" * 2_000_000 + gzipped(tar_of(signed(fields_of())))[10:],
    ),
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
    "a manifest that is not canonical": ("manifest_too_large", lambda: repeated(b'{"a":[', b"[],", b"0]}", 17 * MIB)),
    "a manifest of empty arrays": ("manifest_invalid", lambda: repeated(b'{"a":[', b"[],", b"0]}")),
    "a manifest of empty objects": ("manifest_invalid", lambda: repeated(b'{"a":[', b"{},", b"0]}")),
    "a manifest of empty strings": ("manifest_invalid", lambda: repeated(b'{"a":[', b'"",', b"0]}")),
    "a manifest of brackets": ("manifest_invalid", lambda: repeated(b"", b"[", b"")),
    "a manifest of one emoji and much text": (
        "manifest_too_large",
        lambda: repeated('{"a":"\U0001f600'.encode(), b"x", b'"}'),
    ),
    "a manifest of one escaped emoji and much text": (
        "version_unsupported",
        lambda: repeated(rb'{"a":"\ud83d\ude00', b"x", b'"}'),
    ),
    "a manifest of one large object": ("version_unsupported", lambda: one_object(299_000)),
    "a signature of brackets": (
        "signature_malformed",
        lambda: zstd(tar_of((signed(fields_of())[0], b"[" * 65_000))),
    ),
    "many members in front": ("manifest_missing", lambda: zstd(member("artifacts/a/x", b"") * 3 + bytes(1024))),
}


def one_object(count: int) -> bytes:
    """A manifest of version 1.0.0 with as many different keys as a manifest may have values."""
    pairs = (rf'"\u0101{number:020d}":"\u0101{number:010d}"' for number in range(count))
    return manifest_bundle(("{" + ",".join(pairs) + "}").encode())


def listing(files: list[dict[str, Any]], missing: list[dict[str, str]]) -> bytes:
    """A signed bundle of a manifest that is sound in itself, without its files."""
    entries = sorted(files, key=lambda one: str(one["path"]))
    fields = fields_of({}, missing=missing, complete=not missing, chunk_size=1)
    fields["files"] = entries
    fields["metadata"] |= {"file_count": len(entries), "total_size": sum(one["size"] for one in entries)}
    listed = [[one["path"], one["size"], one["sha256"]] for one in entries]
    pair = signed(hashed(fields | {"content_digest": sha256(canonical(listed))}))
    assert len(pair[0]) < 32 * MIB
    return zstd(tar_of(pair, {}))


def entry(number: int, name: str, size: int = 1) -> dict[str, Any]:
    artifact_id = f"{number:08d}"
    digest = sha256(artifact_id.encode())
    return {
        "artifact_id": artifact_id, "path": f"artifacts/{artifact_id}/{name}", "sha256": digest, "size": size,
    }  # fmt: skip


def chunked(count: int) -> list[dict[str, Any]]:
    """One file of so many chunks of a byte each."""
    chunks = [
        {"index": index, "offset": index, "sha256": sha256(str(index).encode()), "size": 1} for index in range(count)
    ]
    return [entry(0, "disk", count) | {"chunks": chunks}]


GONE = [{"path": path, "reason": "gone"} for path in ("alerts.json", "artifacts.json", "timeline.json")]
WIDE = "\U0001f600"
# The largest that are sound: each is accepted, and refused only as its files are not in the bundle.
LARGE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "200,000 files": ("member_missing", lambda: listing([entry(n, "n") for n in range(199_997)], GONE)),
    "201,000 files": ("manifest_invalid", lambda: listing([entry(n, "n") for n in range(201_000)], GONE)),
    "long names with an emoji": (
        "member_missing",
        lambda: listing([entry(n, WIDE + "x" * 250) for n in range(72_000)], GONE),
    ),
    "one file of 260,000 chunks": ("member_missing", lambda: listing(chunked(260_000), GONE)),
    "200,000 gaps": (
        "member_missing",
        lambda: listing(
            [entry(0, "x")],
            GONE + [{"path": entry(n, "")["path"] + "x", "reason": f"{WIDE}{n:040d}"} for n in range(1, 199_000)],
        ),
    ),
    "long reasons with an emoji": (
        "member_missing",
        lambda: listing([entry(0, "x")], GONE + [{"source": "s", "reason": WIDE + f"{n:060000d}"} for n in range(550)]),
    ),
}


def read_alone(bundle: bytes, tmp_path: Path) -> tuple[str, int]:
    """The verdict of a separate process and its peak memory in MiB."""
    (tmp_path / "bomb").write_bytes(bundle)
    keys = key_folder(tmp_path / "keys")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "bomb"), str(keys)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=240,
    )
    found, most_mib = json.loads(done.stdout)
    return found, most_mib


@pytest.mark.parametrize("what", BOMBS | LARGE)
def test_reading_it_takes_less_than_256_mib(what, tmp_path):
    code, make = (BOMBS | LARGE)[what]
    found, most_mib = read_alone(make(), tmp_path)
    assert found == code
    assert most_mib < 256
