"""Every changed byte and every cut of a small bundle is refused, or leaves a bundle that is equal in content.

Equal in content means: the same manifest bytes and the same payload. Such changes are in bytes that are not signed: the
time in a gzip header, the magic of a skippable frame, the signer's claimed time, and unused bits of the entropy coding.
"""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

import pytest
import zstandard

from bundles.format.model.errors import CODES, FormatError
from bundles.format.reading.report import check_bundle
from tests.support.format_builders import PEOPLE, fields_of, gzipped, ring, signed, tar_of, written, zstd

FILES = PEOPLE | {"artifacts/a/x": b"evidence"}
PAIR = signed(fields_of(FILES))


class Reader:
    """Verifies mutants and checks the content of accepted ones."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "mutant"
        self.keys = ring()

    def code(self, mutant: bytes) -> str:
        self.path.write_bytes(mutant)
        sink = Contents()
        try:
            report = check_bundle(self.path, self.keys, sink=sink)
        except FormatError as error:
            return error.code
        if report.error is not None:
            assert report.error.code in CODES
            return report.error.code
        assert report.manifest is not None
        assert sink.members == FILES | {"manifest.json": PAIR[0], "manifest.sig": sink.members["manifest.sig"]}
        return "equal"


class Contents:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {}
        self.path = ""

    def begin(self, path: str) -> None:
        self.path = path
        self.members[path] = b""

    def write(self, data: memoryview) -> None:
        self.members[self.path] += bytes(data)

    def end(self) -> None:
        self.path = ""


def bundle(kind: str) -> bytes:
    tar = tar_of(PAIR, FILES)
    return {"zstd": zstd(tar), "frames": zstd(tar, frame_bytes=1500), "gzip": gzipped(tar)}[kind]


GZIP_FREE = {4, 5, 6, 7, 8, 9}  # time, extra flags and system of the gzip header: nothing of what was signed


def unpacked(raw: bytes) -> bytes:
    """The tar bytes as another decompressor gives them."""
    if raw[:2] == b"\x1f\x8b":
        return gzip.decompress(raw)
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True).read()


@pytest.mark.parametrize("kind", ["zstd", "frames", "gzip"])
def test_every_changed_byte_is_refused_or_leaves_an_equal_bundle(kind, tmp_path):
    sound, reader, dice = bundle(kind), Reader(tmp_path), random.Random(7)
    assert reader.code(sound) == "equal"
    accepted = set()
    for position in range(len(sound)):
        mutant = bytearray(sound)
        mutant[position] ^= dice.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])
        if reader.code(bytes(mutant)) == "equal":
            assert unpacked(bytes(mutant)) == unpacked(sound)
            accepted.add(position)
    assert len(accepted) < len(sound) // 50
    assert accepted >= (GZIP_FREE if kind == "gzip" else set())


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
def test_every_bit_of_the_headers_counts(kind, tmp_path):
    sound, reader = bundle(kind), Reader(tmp_path)
    tail = 25 if kind == "zstd" else 8
    free = GZIP_FREE if kind == "gzip" else set()
    for position in [*range(10), *range(len(sound) - tail, len(sound))]:
        for bit in range(8):
            mutant = bytearray(sound)
            mutant[position] ^= 1 << bit
            assert (reader.code(bytes(mutant)) == "equal") == (position in free)


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
def test_every_cut_is_refused_unless_only_the_seek_table_is_gone(kind, tmp_path):
    sound, reader = bundle(kind), Reader(tmp_path)
    whole = {len(sound) - 25} if kind == "zstd" else set()  # 8 bytes of frame header, 8 of one row, 9 of the foot
    accepted = {size for size in range(len(sound)) if reader.code(sound[:size]) == "equal"}
    assert accepted == whole


def test_inserted_doubled_and_exchanged_bytes_are_refused(tmp_path):
    sound, reader, dice = bundle("frames"), Reader(tmp_path), random.Random(11)
    for _ in range(400):
        first, second = sorted(dice.sample(range(len(sound)), 2))
        third = dice.randrange(len(sound))
        for mutant in (
            sound[:first] + dice.randbytes(4) + sound[first:],
            sound[:second] + sound[first:],
            sound[:first] + sound[second:],
        ):
            if mutant != sound and third:
                assert reader.code(mutant) != "equal" or unpacked(mutant) == unpacked(sound)


def test_a_written_bundle_with_its_reserved_room_refuses_changed_bytes(tmp_path):
    raw = written(tmp_path / "b", FILES).path.read_bytes()
    path, keys, dice = tmp_path / "mutant", ring(), random.Random(3)
    filler = raw.index(b"\x5d\x2a\x4d\x18")
    for position in [*range(filler, filler + 12), *dice.sample(range(len(raw)), 300)]:
        mutant = bytearray(raw)
        mutant[position] ^= 1 << dice.randrange(8)
        path.write_bytes(mutant)
        verified = check_bundle(path, keys).verified
        another_filler = position == filler and 0x50 <= mutant[filler] <= 0x5F and mutant[filler] != 0x5E
        # Compression says some things in more than one way; what it says must be the same then.
        assert verified == another_filler or unpacked(bytes(mutant)) == unpacked(raw)


def test_mutants_of_the_tar_bytes_themselves_are_refused(tmp_path):
    """The compression's checksums are correct, so the format itself must detect the changes."""
    tar, reader = bytearray(tar_of(PAIR, FILES)), Reader(tmp_path)
    for position in range(0, len(tar), 5):
        mutant = bytearray(tar)
        mutant[position] ^= 1 << position % 8
        code = reader.code(zstd(bytes(mutant), table=False))
        assert code != "equal" or b'"signed_at"' in tar[position - 60 : position + 60], position
