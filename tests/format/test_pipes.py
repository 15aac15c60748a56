"""Bundles written to and read from real pipes by real processes, by the same rules as files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundles.format.model.errors import CannotCheckError, CannotWriteError
from bundles.format.model.limits import Limits
from bundles.format.reading.single import match_file
from bundles.format.reading.verify import verify_bundle
from bundles.format.writing.cosign import cosign_bundle
from bundles.format.writing.pipes import spooled, stream_bundle
from tests.support.format_builders import PEOPLE, SAMPLE, SOUND, key_folder, payloads_of, ring, signer, signing_key

ROOT = Path(__file__).resolve().parents[2]
BIG = "artifacts/a-1/disk.img"
LARGE = PEOPLE | {BIG: os.urandom(5 << 20)}


def run(*words: Any, given: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "bundles.format", *map(str, words)]
    return subprocess.run(command, input=given, capture_output=True, cwd=ROOT, check=False, **options)


@pytest.fixture
def folder(tmp_path):
    for path, data in SAMPLE.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(data)
    (tmp_path / "sign.pem").write_bytes(signer().pem)
    key_folder(tmp_path / "keys")
    return tmp_path


@pytest.mark.parametrize("gzip", [[], ["--gzip"]])
def test_a_bundle_goes_through_a_pipe_and_is_verified_and_unpacked_from_one(gzip, folder):
    made = run(
        "create", folder / "in", "--incident-id", "incident-7", "--key", folder / "sign.pem", "-o", "-", "--json", *gzip
    )
    assert made.returncode == 0, made.stderr
    created = json.loads(made.stderr)
    checked = run("verify", "-", "--key", folder / "keys", "--json", given=made.stdout)
    report = json.loads(checked.stdout)
    assert (checked.returncode, report["verified"], report["bundle"]) == (0, True, "-")
    assert (report["sha256"], report["size"]) == (created["sha256"], created["size"])
    assert report["size"] == len(made.stdout)
    done = run("extract", "-", folder / "out", "--key", folder / "keys", given=made.stdout)
    assert done.returncode == 0, done.stderr
    assert (folder / "out" / "artifacts/a-3/disk.img").read_bytes() == SAMPLE["artifacts/a-3/disk.img"]
    one = run("verify", "-", "--only", "artifacts/a-1/note.txt", "--key", folder / "keys", given=made.stdout)
    assert b"the rest was not checked" in one.stdout


def through_a_pipe(tmp_path: Path, **options: Any) -> Path:
    """A bundle written to a pipe, which a process of its own writes into a file."""
    path = tmp_path / "piped"
    with path.open("wb") as file, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as cat:
        assert cat.stdin is not None
        made = stream_bundle(
            cat.stdin.fileno(), incident_id="incident-7", payloads=payloads_of(LARGE), key=signing_key(), **options
        )
        cat.stdin.close()
        assert cat.wait() == 0
    assert made.size == path.stat().st_size
    return path


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_the_payload_goes_first_and_the_manifest_last(compression, tmp_path):
    path = through_a_pipe(tmp_path, compression=compression)
    assert verify_bundle(path, ring()).manifest.metadata["compression"] == compression
    option = ["--zstd", "--no-same-owner"] if compression == "zstd" else ["--gzip"]
    listed = subprocess.run(["tar", *option, "-tf", path], capture_output=True, text=True, check=True).stdout.split()
    assert listed == ["alerts.json", "artifacts.json", "timeline.json", BIG, "manifest.json", "manifest.sig"]


def test_a_piped_bundle_is_read_by_parts_and_cosigned_without_touching_its_payload(tmp_path):
    path = through_a_pipe(tmp_path)
    assert match_file(path, ring(), BIG).sought
    made = cosign_bundle(path, signing_key("second"), ring(), tmp_path / "c")
    assert not made.recompressed
    assert made.path.read_bytes()[: 5 << 20] == path.read_bytes()[: 5 << 20]
    assert verify_bundle(made.path, ring(signer(), signer("second")), require=2).size == made.size


def test_piped_input_is_checked_by_every_rule_and_leaves_nothing_behind(folder):
    (folder / "spool").mkdir()
    spool = ["--key", folder / "keys", "--spool", folder / "spool"]
    for given, code in (
        (SOUND() + b"x", b"trailing_data"),
        (SOUND()[:-1], b"t"),
        (b"", b"not_a_bundle"),
    ):
        refused = run("verify", "-", *spool, given=given)
        assert refused.returncode == 1
        assert b"NOT VERIFIED: -" in refused.stdout
        assert code in refused.stdout
    assert run("verify", "-", *spool, given=SOUND()).returncode == 0
    assert list((folder / "spool").iterdir()) == []
    nowhere = run("verify", "-", "--key", folder / "keys", "--spool", folder / "none", given=SOUND())
    assert (nowhere.returncode, b"[cannot_spool]" in nowhere.stderr) == (2, True)


def test_a_reader_that_goes_away_ends_the_writing(tmp_path):
    outlet, inlet = os.pipe()
    os.close(outlet)
    try:
        with pytest.raises(CannotWriteError) as refusal:
            stream_bundle(inlet, incident_id="incident-7", payloads=payloads_of(LARGE), key=signing_key())
    finally:
        os.close(inlet)
    assert refusal.value.code == "write_failed"


def test_a_pipe_that_delivers_nothing_is_given_up():
    outlet, inlet = os.pipe()
    try:
        os.write(inlet, b"\x28\xb5\x2f\xfd")
        with pytest.raises(CannotCheckError) as caught, spooled(outlet, limits=Limits(stall_s=0.05)):
            pass
    finally:
        os.close(outlet)
        os.close(inlet)
    assert caught.value.code == "stalled"
