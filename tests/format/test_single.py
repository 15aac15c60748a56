"""One file without the rest: found through the seek table or by walking, checked, and reported as one file only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bundles.format.cli import cli
from bundles.format.model.errors import BundleRejectedError, CannotCheckError
from bundles.format.reading.single import extract_file, match_file
from tests.support.format_builders import (
    PEOPLE,
    SAMPLE,
    fields_of,
    frame,
    gzipped,
    key_folder,
    ring,
    seek_table,
    signed,
    signer,
    tar_of,
    verdict,
    written,
    zstd,
)

MIB = 1 << 20
NOTE, EMPTY, BIG = "artifacts/a-1/note.txt", "artifacts/a-2/empty.bin", "artifacts/a-3/disk.img"
LONG = "artifacts/a-4/" + "ímynd " * 20
LARGE = PEOPLE | {
    NOTE: b"what was seen\n",
    EMPTY: b"",
    BIG: os.urandom(9 * MIB),
    LONG: os.urandom(3 * MIB),
}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return written(tmp_path_factory.mktemp("large") / "b.tar.zst", LARGE, chunk_size=MIB).path


def matched(path: Path, only: str, **options: Any) -> tuple[bytes, bool]:
    taken: list[bytes] = []
    found = match_file(path, ring(), only, take=lambda piece: taken.append(bytes(piece)), **options)
    assert found.entry.path == only
    return b"".join(taken), found.sought


@pytest.mark.parametrize("only", LARGE)
def test_each_file_is_found_through_the_table(only, large):
    assert matched(large, only) == (LARGE[only], True)


def test_damage_elsewhere_does_not_matter_and_damage_inside_is_reported_by_range(large, tmp_path):
    content = bytearray(large.read_bytes())
    content[content.index(LARGE[BIG][5 * MIB + 100 : 5 * MIB + 200])] ^= 1
    path = tmp_path / "b"
    path.write_bytes(content)
    assert verdict(bytes(content), tmp_path) == "corrupt_compression"
    assert matched(path, NOTE) == (LARGE[NOTE], True)
    assert matched(path, LONG) == (LARGE[LONG], True)
    with pytest.raises(BundleRejectedError) as refusal:
        matched(path, BIG)
    assert refusal.value.code == "corrupt_compression"
    start = int(refusal.value.detail.split(" ")[3])
    assert 3 * MIB <= start <= 5 * MIB + 100
    assert f"of {BIG}" in refusal.value.detail


@pytest.mark.parametrize("shape", ["gzip", "zstd without a table", "another order", "no sizes"])
def test_where_the_table_does_not_lead_to_the_header_the_members_are_walked(shape, tmp_path):
    pair = signed(fields_of())
    backwards = dict(reversed(SAMPLE.items()))
    bundle = {
        "gzip": lambda: gzipped(tar_of(pair)),
        "zstd without a table": lambda: zstd(tar_of(pair), table=False),
        "another order": lambda: zstd(tar_of(pair, backwards), frame_bytes=1024),
        "no sizes": lambda: (
            frame(tar_of(pair), write_content_size=False)
            + seek_table([(len(frame(tar_of(pair), write_content_size=False)), len(tar_of(pair)))])
        ),
    }[shape]()
    (tmp_path / "b").write_bytes(bundle)
    for only, data in SAMPLE.items():
        assert matched(tmp_path / "b", only) == (data, False)


def test_a_wrong_table_is_refused_or_ignored(tmp_path):
    tar = tar_of(signed(fields_of()))
    pieces = [tar[start : start + 1024] for start in range(0, len(tar), 1024)]
    frames = [frame(piece) for piece in pieces]
    true = [(len(packed), len(piece)) for packed, piece in zip(frames, pieces, strict=True)]
    for change in (lambda rows: rows[::-1], lambda rows: [(a, b + 512) for a, b in rows]):
        (tmp_path / "b").write_bytes(b"".join(frames) + seek_table(change(true)))
        for only, data in SAMPLE.items():
            try:
                found: Any = matched(tmp_path / "b", only)
            except BundleRejectedError as error:
                found = error.code
            assert found in ((data, False), "seek_table_invalid")  # the latter where walking met the table
    (tmp_path / "b").write_bytes(b"".join(frames) + seek_table(true))
    assert matched(tmp_path / "b", NOTE) == (SAMPLE[NOTE], True)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(
    ("only", "change", "code"),
    [
        (NOTE, lambda data: b"X" + data[1:], "file_hash_mismatch"),
        (BIG, lambda data: data[:1500] + b"X" + data[1501:], "chunk_hash_mismatch"),
        (NOTE, lambda data: data + b"x", "size_mismatch"),
    ],
)
def test_a_file_that_is_not_as_signed_is_refused(only, change, code, table, tmp_path):
    wrong = SAMPLE | {only: change(SAMPLE[only])}
    (tmp_path / "b").write_bytes(zstd(tar_of(signed(fields_of()), wrong), table=table))
    with pytest.raises(BundleRejectedError) as refusal:
        match_file(tmp_path / "b", ring(), only)
    assert refusal.value.code == code
    if code == "chunk_hash_mismatch":
        assert "Bytes 1000 to 1999" in refusal.value.detail


def test_a_missing_or_unlisted_file_is_an_error(tmp_path):
    without = {path: data for path, data in SAMPLE.items() if path != NOTE}
    (tmp_path / "b").write_bytes(zstd(tar_of(signed(fields_of()), without)))
    with pytest.raises(BundleRejectedError) as refusal:
        match_file(tmp_path / "b", ring(), NOTE)
    assert refusal.value.code == "member_missing"
    with pytest.raises(CannotCheckError) as undecided:
        match_file(tmp_path / "b", ring(), "artifacts/a-1/other")
    assert undecided.value.code == "not_listed"


def test_the_manifest_is_authenticated_first(large):
    with pytest.raises(BundleRejectedError) as refusal:
        match_file(large, ring(signer("stranger")), NOTE)
    assert refusal.value.code == "signer_unknown"
    with pytest.raises(BundleRejectedError) as refusal:
        match_file(large, ring(), NOTE, require=2)
    assert refusal.value.code == "signatures_insufficient"


@pytest.mark.parametrize("only", [BIG, EMPTY, "alerts.json"])
def test_one_file_is_unpacked_alone_below_a_new_folder(only, large, tmp_path):
    extract_file(large, ring(), only, tmp_path / "out")
    assert [
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    ] == [only]
    assert (tmp_path / "out" / only).read_bytes() == LARGE[only]


def test_a_file_that_does_not_match_leaves_nothing_behind(tmp_path):
    wrong = SAMPLE | {NOTE: b"X" * len(SAMPLE[NOTE])}
    (tmp_path / "b").write_bytes(zstd(tar_of(signed(fields_of()), wrong)))
    with pytest.raises(BundleRejectedError):
        extract_file(tmp_path / "b", ring(), NOTE, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_the_command_says_that_only_this_file_was_checked(large, tmp_path, capsys):
    keys = ["--key", str(key_folder(tmp_path / "keys"))]
    assert cli.main(["verify", str(large), "--only", NOTE, *keys]) == 0
    said = capsys.readouterr().out
    assert "this file is as signed; the rest was not checked" in said
    assert "VERIFIED" not in said
    assert cli.main(["verify", str(large), "--only", NOTE, "--json", *keys]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["only"], report["verified"], report["as_signed"], report["error"]) == (NOTE, False, True, None)
    assert cli.main(["extract", str(large), str(tmp_path / "out"), "--only", NOTE, *keys]) == 0
    assert (tmp_path / "out" / NOTE).read_bytes() == LARGE[NOTE]
    assert cli.main(["verify", str(large), "--only", "artifacts/none/x", *keys]) == 2
    wrong = SAMPLE | {NOTE: b"X" * len(SAMPLE[NOTE])}
    (tmp_path / "b").write_bytes(zstd(tar_of(signed(fields_of()), wrong)))
    capsys.readouterr()
    assert cli.main(["verify", str(tmp_path / "b"), "--only", NOTE, "--json", *keys]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["verified"], report["as_signed"]) == (False, False)
    assert report["error"]["code"] == "file_hash_mismatch"
