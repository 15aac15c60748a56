"""Steps 1 and 7 of the reading plan: the file, its compression, its bounds, and its end."""

from __future__ import annotations

import gzip
import io
import os
import struct
import threading
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import zstandard

from bundles.format.model.errors import BundleRejectedError, CannotCheckError
from bundles.format.model.limits import Limits
from bundles.format.reading.report import check_bundle
from bundles.format.reading.verify import verify_bundle
from bundles.format.reading.zstd_reader import FrameSizes
from tests.support.format_builders import (
    SOUND,
    crafted,
    fields_of,
    frame,
    gzipped,
    member,
    ring,
    seek_table,
    signed,
    skippable,
    tar_of,
    ustar,
    verdict,
    written,
    zstd,
)


@cache
def tar() -> bytes:
    return tar_of(signed(fields_of()))


def first_frame(change: Callable[[bytearray], object]) -> bytes:
    bundle = bytearray(zstd(tar(), table=False))
    change(bundle)
    return bytes(bundle)


def with_bits(bits: int) -> bytes:
    return first_frame(lambda bundle: bundle.__setitem__(4, bundle[4] | bits))


def wide_window() -> bytes:
    parameters = zstandard.ZstdCompressionParameters(compression_level=3, window_log=24, write_checksum=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(tar()) + packer.flush()


def tiny_blocks() -> bytes:
    header = struct.pack("<IBI", 0xFD2FB528, 0xA0, 1 << 20)
    return header + struct.pack("<I", 0)[:3] * 70_000


def lying_frame() -> bytes:
    packed = bytearray(zstd(tar(), table=False))
    assert packed[4] >> 6 == 1, "the frame states its size in two bytes"
    packed[5] += 1
    return bytes(packed)


def empty_frames() -> bytes:
    """Many empty frames that state no size."""
    nothing = struct.pack("<IBB", 0xFD2FB528, 0, 0) + b"\x01\x00\x00"
    return nothing * 50_000 + SOUND()


def gzip_header(flags: int, extra: bytes) -> bytes:
    packed = gzipped(tar())
    return packed[:3] + bytes([flags]) + packed[4:10] + extra + packed[10:]


CASES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "an empty file": ("not_a_bundle", lambda: b""),
    "a plain tar": ("not_a_bundle", tar),
    "xz": ("not_a_bundle", lambda: b"\xfd7zXZ\0" + bytes(100)),
    "a zip": ("not_a_bundle", lambda: b"PK\3\4" + bytes(100)),
    "a window of 16 MiB": ("window_too_large", wide_window),
    "a reserved bit in a frame header": ("reserved_bits", lambda: with_bits(0b1000)),
    "the unused bit in a frame header": ("reserved_bits", lambda: with_bits(0b1_0000)),
    "a reserved bit in a gzip header": ("reserved_bits", lambda: gzip_header(0x20, b"")),
    "an extra field in a gzip header": ("corrupt_compression", lambda: gzip_header(4, b"\x04\0abcd")),
    "a comment in a gzip header": ("corrupt_compression", lambda: gzip_header(16, b"hidden\0")),
    "a name of 2 KiB in a gzip header": ("corrupt_compression", lambda: gzip_header(8, b"n" * 2048 + b"\0")),
    "a dictionary id": ("corrupt_compression", lambda: with_bits(0b01)),
    "a frame that claims to be empty": (
        "corrupt_compression",
        lambda: struct.pack("<IBB", 0xFD2FB528, 0x20, 0) + b"\1\0\0" + SOUND(),
    ),
    "a frame shorter than it says": ("corrupt_compression", lying_frame),
    "a block of the reserved type": (
        "corrupt_compression",
        lambda: struct.pack("<IBB", 0xFD2FB528, 0x20, 9) + b"\x07\0\0" + bytes(64),
    ),
    "a frame of ever more empty blocks": ("corrupt_compression", tiny_blocks),
    "frames of 16 bytes each": (
        "corrupt_compression",
        lambda: zstd(member("alerts.json", bytes(40_000)), frame_bytes=16),
    ),
    "a flood of empty frames that state no size": ("corrupt_compression", empty_frames),
    "a flood of empty skippable frames": ("corrupt_compression", lambda: skippable(0x184D2A50, b"") * 9000 + SOUND()),
    "a wrong checksum": ("corrupt_compression", lambda: first_frame(lambda raw: raw.__setitem__(-1, raw[-1] ^ 1))),
    "a wrong gzip checksum": (
        "corrupt_compression",
        lambda: gzipped(tar())[:-8] + bytes(4) + gzipped(tar())[-4:],
    ),
    "a gzip stream that is cut": ("truncated", lambda: gzipped(tar())[:-9]),
    "a frame that is cut": ("truncated", lambda: zstd(tar(), table=False)[:-9]),
    "a skippable frame that is cut": ("truncated", lambda: zstd(tar(), table=False) + b"\x50\x2a\x4d\x18\xff\0\0\0"),
    "bytes behind the last frame": ("trailing_data", lambda: zstd(tar(), table=False) + b"more"),
    "one byte behind the last frame": ("trailing_data", lambda: zstd(tar(), table=False) + b"\0"),
    "bytes behind the seek table": ("trailing_data", lambda: SOUND() + b"more"),
    "zeros behind the seek table": ("trailing_data", lambda: SOUND() + skippable(0x184D2A50, bytes(8))),
    "a second seek table": ("trailing_data", lambda: SOUND() + seek_table([])),
    "a second gzip member": ("trailing_data", lambda: gzipped(tar()) * 2),
    "a gzip member of nothing behind": ("trailing_data", lambda: gzipped(tar()) + gzip.compress(b"")),
    "zeros behind the gzip stream": ("trailing_data", lambda: gzipped(tar()) + bytes(512)),
    "zstd behind gzip": ("trailing_data", lambda: gzipped(tar()) + SOUND()),
    "a second frame of tar data": ("tar_trailing_data", lambda: zstd(tar(), table=False) + frame(tar())),
    "a zero block too many": ("tar_trailing_data", lambda: zstd(tar() + bytes(512))),
    "padding to 10,240 bytes": ("tar_trailing_data", lambda: zstd(tar() + bytes(10_240 - len(tar()) % 10_240))),
    "data behind the end mark": ("tar_trailing_data", lambda: zstd(tar() + b"hidden".ljust(512))),
    "a seek table of other frames": ("seek_table_invalid", lambda: zstd(tar(), table=False) + seek_table([(9, 9)])),
    "a seek table of no frame": ("seek_table_invalid", lambda: zstd(tar(), table=False) + seek_table([])),
    "a seek table with checksums": (
        "seek_table_invalid",
        lambda: SOUND()[:-5] + b"\x80" + SOUND()[-4:],
    ),
    "a seek table with reserved bits": ("seek_table_invalid", lambda: SOUND()[:-5] + b"\x04" + SOUND()[-4:]),
    "an empty frame with the table's magic": (
        "seek_table_invalid",
        lambda: zstd(tar(), table=False) + skippable(0x184D2A5E, b""),
    ),
    "a seek table in the middle": (
        "trailing_data",
        lambda: frame(tar()[:512]) + seek_table([(len(frame(tar()[:512])), 512)]) + frame(tar()[512:]),
    ),
    "something in a skippable frame": (
        "skippable_not_zero",
        lambda: skippable(0x184D2A5D, bytes(9) + b"x") + zstd(tar(), table=False),
    ),
    "something far into a skippable frame": (
        "skippable_not_zero",
        lambda: skippable(0x184D2A51, bytes(3 << 20) + b"x") + zstd(tar(), table=False),
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_it_is_refused_with_its_code(what, tmp_path):
    code, make = CASES[what]
    assert verdict(make(), tmp_path) == code


OTHER_WAYS: dict[str, Callable[[], bytes]] = {
    "no seek table": lambda: zstd(tar(), table=False),
    "many small frames": lambda: zstd(tar(), frame_bytes=700),
    "zeros in front": lambda: skippable(0x184D2A50, bytes(700)) + zstd(tar(), table=False),
    "zeros behind": lambda: zstd(tar(), table=False) + skippable(0x184D2A5F, bytes(700)),
    "one frame without a size": lambda: zstandard.ZstdCompressor(write_content_size=False).compress(tar()),
    "a window of 8 MiB": lambda: (
        zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=23))
        .compressobj()
        .compress(b"")
        + zstd(tar(), table=False)
    ),
    "gzip": lambda: gzipped(tar()),
    "gzip with a file name and a time": lambda: (
        gzip_header(8, b"bundle.tar\0")[:4] + b"\1\2\3\4" + gzip_header(8, b"bundle.tar\0")[8:]
    ),
    "stored, not deflated": lambda: gzip.compress(tar(), compresslevel=0),
}


@pytest.mark.parametrize("what", OTHER_WAYS)
def test_other_ways_to_compress_the_same_tar_are_read(what, tmp_path):
    assert verdict(OTHER_WAYS[what](), tmp_path) == "verified"


def test_the_ratio_is_bounded_beyond_its_grace(tmp_path):
    files = {"timeline.json": bytes(300_000)}
    gaps = [{"source": name, "reason": "down"} for name in ("alerts", "artifacts")]
    bundle = crafted(
        files, missing=gaps, complete=False, chunk_size=1 << 20, change=lambda it: it["files"][0].pop("chunks")
    )
    assert verdict(bundle, tmp_path) == "verified"
    tight = Limits(ratio=2, ratio_grace_bytes=1000)
    assert verdict(bundle, tmp_path, limits=tight) == "ratio_exceeded"
    tar_bytes = tar_of(signed(fields_of(files, missing=gaps, complete=False)), files)
    assert verdict(gzipped(tar_bytes), tmp_path, limits=tight) == "ratio_exceeded"
    streamed = zstandard.ZstdCompressor(write_content_size=False).compress(tar_bytes)
    assert verdict(streamed, tmp_path, limits=tight) == "ratio_exceeded"


def test_a_bomb_of_zeros_is_refused_at_its_bound(tmp_path):
    bomb = frame(ustar(b"alerts.json", 1 << 30)) + frame(bytes(2 << 20)) * 40
    assert verdict(bomb, tmp_path, limits=Limits(ratio=1000)) == "ratio_exceeded"


def test_the_total_is_bounded(tmp_path):
    assert verdict(SOUND(), tmp_path, limits=Limits(total_bytes=4000)) == "size_exceeded"


def test_a_deflate_bomb_is_bounded(tmp_path):
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = squeeze.compress(ustar(b"alerts.json", 8 << 20) + bytes(8 << 20)) + squeeze.flush()
    assert verdict(bomb, tmp_path, limits=Limits(total_bytes=9 << 20)) == "tar_end_missing"
    assert verdict(bomb, tmp_path, limits=Limits(total_bytes=4 << 20)) == "size_exceeded"
    assert verdict(bomb, tmp_path, limits=Limits(ratio=100, ratio_grace_bytes=1 << 20)) == "ratio_exceeded"


def test_a_seek_table_cannot_describe_frames_larger_than_its_numbers(tmp_path):
    sizes = FrameSizes()
    sizes.add(2**32 + 7, 0)
    table = seek_table([(7, 0)])[8:]
    assert not sizes.match(len(table), io.BytesIO(table).read)


def test_links_directories_and_pipes_are_refused(tmp_path):
    bundle = tmp_path / "real"
    bundle.write_bytes(SOUND())
    (tmp_path / "link").symlink_to(bundle)
    (tmp_path / "dangling").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "dangling", "pipe", "folder"):
        report = check_bundle(tmp_path / name, ring())
        assert report.error is not None
        assert report.error.code == "not_a_regular_file"


@pytest.mark.parametrize("name", ["missing", "missing/inside", "n" * 300])
def test_a_file_that_cannot_be_opened_cannot_be_checked(name, tmp_path):
    with pytest.raises(CannotCheckError) as refusal:
        check_bundle(tmp_path / name, ring())
    assert refusal.value.code == "bundle_unreadable"


def test_a_file_that_shrinks_meanwhile_cannot_be_checked(tmp_path):
    path: Path = written(
        tmp_path / "b", {"timeline.json": os.urandom(24 << 20), "alerts.json": b"[]", "artifacts.json": b"[]"}
    ).path
    with pytest.raises(CannotCheckError) as refusal:
        check_bundle(path, ring(), progress=lambda *_: os.truncate(path, 6 << 20))
    assert refusal.value.code == "bundle_changed"


def test_a_bundle_cut_off_anywhere_is_refused_before_its_payload_is_read(tmp_path):
    whole = written(tmp_path / "whole").path.read_bytes()
    for cut in [*range(len(whole) - 120, len(whole)), len(whole) // 2]:
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(BundleRejectedError) as refused:
            verify_bundle(tmp_path / "cut", ring(), progress=payload_was_read)
        assert refused.value.code == "truncated"


def test_a_footer_that_claims_more_frames_than_a_table_can_have_is_ignored(tmp_path):
    whole = bytearray(written(tmp_path / "whole").path.read_bytes())
    whole[-9:-5] = b"\xff\xff\xff\xff"
    assert verdict(bytes(whole), tmp_path) == "truncated"


def payload_was_read(done: int, total: int) -> None:
    pytest.fail(f"{done} of {total} bytes of payload were read")


def test_no_thread_outlives_a_verification_whatever_keeps_its_report(tmp_path):
    """A report keeps its error and so the reader's stack frames; collecting these on a reader thread would hang."""
    noise = os.urandom(6 << 20)
    path = tmp_path / "b"
    path.write_bytes(zstd(ustar(b"artifacts/a/link", 0, b"2") + noise, frame_bytes=1 << 19))
    report = check_bundle(path, ring())
    alive = [thread.name for thread in threading.enumerate() if thread.name.startswith(("unzstd", "sha256"))]
    assert report.error is not None
    assert report.error.code == "tar_member_forbidden"
    assert alive == []
