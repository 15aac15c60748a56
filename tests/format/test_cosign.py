"""Co-signatures: added without changing the payload; `--require` counts different trusted keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundles.format.cli import cli
from bundles.format.model.errors import BundleRejectedError, CannotWriteError
from bundles.format.reading.report import check_bundle
from bundles.format.reading.verify import read_manifest, verify_bundle
from bundles.format.writing.cosign import cosign_bundle
from tests.support.format_builders import (
    PEOPLE,
    SAMPLE,
    SOUND,
    Signer,
    canonical,
    fields_of,
    gzipped,
    key_folder,
    ring,
    signed,
    signer,
    signing_key,
    tar_of,
    written,
    zstd,
)

TOOL = Path(__file__).resolve().parents[2] / "tools" / "cosign_bundle.py"
LARGE = PEOPLE | {"artifacts/a-1/disk.img": os.urandom(5 << 20)}


def second_ring() -> Any:
    return ring(signer(), signer("second"))


def cosigned_by(*others: Signer) -> bytes:
    raw, signature = signed(fields_of())
    fields = json.loads(signature)
    extra = [one.signature(raw, fields["manifest_hash"]) for one in others]
    return zstd(tar_of((raw, canonical(fields | {"cosignatures": extra}))))


def check(bundle: bytes, tmp_path: Path, keys: Any, require: int) -> str:
    (tmp_path / "bundle").write_bytes(bundle)
    report = check_bundle(tmp_path / "bundle", keys, require=require)
    assert {check["name"]: check["ok"] for check in report.as_dict()["checks"]}["signature"] is report.verified
    return report.error.code if report.error else "verified"


def test_the_required_number_of_different_trusted_keys_must_have_signed(tmp_path):
    second, third = signer("second"), signer("third")
    both = cosigned_by(second, third)
    assert check(SOUND(), tmp_path, ring(), 1) == "verified"
    assert check(SOUND(), tmp_path, ring(), 2) == "signatures_insufficient"
    assert check(both, tmp_path, ring(signer(), second, third), 3) == "verified"
    assert check(both, tmp_path, ring(signer(), second, third), 4) == "signatures_insufficient"
    assert check(both, tmp_path, ring(signer(), second), 3) == "signatures_insufficient"
    assert check(both, tmp_path, ring(signer(), second, revoked=[third]), 3) == "signatures_insufficient"


def test_a_key_that_signs_again_counts_once(tmp_path):
    second = signer("second")
    again = cosigned_by(signer(), signer(), second, second)
    assert check(again, tmp_path, second_ring(), 2) == "verified"
    assert check(again, tmp_path, second_ring(), 3) == "signatures_insufficient"


def test_a_cosignature_that_names_another_manifest_is_refused(tmp_path):
    raw, signature = signed(fields_of())
    extra = signer("second").signature(raw, "0" * 64)
    bundle = zstd(tar_of((raw, canonical(json.loads(signature) | {"cosignatures": [extra]}))))
    assert check(bundle, tmp_path, second_ring(), 1) == "signature_invalid"


def payload_frames(bundle: bytes) -> bytes:
    """The frames after the filler."""
    at = bundle.index(b"\x5d\x2a\x4d\x18")
    return bundle[at + 8 + int.from_bytes(bundle[at + 4 : at + 8], "little") : bundle.rindex(b"\x5e\x2a\x4d\x18")]


def test_a_cosignature_is_added_and_every_payload_frame_stays_byte_for_byte(tmp_path):
    path = written(tmp_path / "b", LARGE).path
    before = path.read_bytes()
    names = ["second", *(f"more-{number}" for number in range(4))]
    for number, name in enumerate(names):
        made = cosign_bundle(path, signing_key(name), ring(), tmp_path / name)
        assert (made.signatures, made.recompressed, made.size) == (number + 2, False, made.path.stat().st_size)
        path = made.path
    after = path.read_bytes()
    assert payload_frames(before) == payload_frames(after)
    assert len(payload_frames(after)) > 5 << 20
    everyone = ring(signer(), *map(signer, names))
    bundle = verify_bundle(path, everyone, require=6)
    assert bundle.sha256 == made.sha256
    assert [key.name for key in bundle.verified.cosigners] == names
    assert (tmp_path / "b").read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(["b", *names])


def test_a_front_with_room_keeps_the_payload_where_it_is(tmp_path):
    many = PEOPLE | {f"artifacts/{number:05}/x": b"" for number in range(3000)}  # a manifest that packs well
    path = written(tmp_path / "b", many).path
    made = cosign_bundle(path, signing_key("second"), ring(), tmp_path / "c")
    assert made.size == path.stat().st_size
    assert verify_bundle(made.path, second_ring(), require=2).manifest == read_manifest(path, ring()).manifest


@pytest.mark.parametrize("compression", ["gzip", "zstd with one frame for all", "zstd without a table"])
def test_a_bundle_without_frames_of_their_own_is_verified_whole_and_packed_again(compression, tmp_path):
    tar = tar_of(signed(fields_of()))
    bundle = {"gzip": gzipped(tar), "zstd with one frame for all": zstd(tar)}.get(compression, zstd(tar, table=False))
    (tmp_path / "b").write_bytes(bundle)
    made = cosign_bundle(tmp_path / "b", signing_key("second"), ring(), tmp_path / "c")
    assert made.recompressed
    assert made.path.read_bytes()[:2] == bundle[:2]
    assert len(verify_bundle(made.path, second_ring(), require=2).manifest.files) == len(SAMPLE)


def test_a_damaged_payload_that_would_be_packed_again_is_refused(tmp_path):
    damaged = SAMPLE | {"alerts.json": b"x" * len(SAMPLE["alerts.json"])}
    (tmp_path / "b").write_bytes(gzipped(tar_of(signed(fields_of()), damaged)))
    with pytest.raises(BundleRejectedError) as refusal:
        cosign_bundle(tmp_path / "b", signing_key("second"), ring(), tmp_path / "c")
    assert refusal.value.code == "file_hash_mismatch"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_an_unknown_signer_a_repeated_key_and_an_existing_file_are_refused(tmp_path):
    path = written(tmp_path / "b").path
    with pytest.raises(BundleRejectedError) as refused:
        cosign_bundle(path, signing_key("second"), ring(signer("stranger")), tmp_path / "c")
    assert refused.value.code == "signer_unknown"
    for key, out, code in (
        (signing_key(), tmp_path / "c", "already_signed"),
        (signing_key("second"), path, "name_taken"),
    ):
        with pytest.raises(CannotWriteError) as refusal:
            cosign_bundle(path, key, ring(), out)
        assert refusal.value.code == code
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_in_place_replaces_the_file_and_keeps_its_mode(tmp_path):
    path = written(tmp_path / "b").path
    path.chmod(0o604)
    before = path.stat().st_ino
    cosign_bundle(path, signing_key("second"), ring())
    assert verify_bundle(path, second_ring(), require=2).size == path.stat().st_size
    assert (path.stat().st_mode & 0o777, path.stat().st_ino == before) == (0o604, False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def run_tool(*arguments: Any) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
    words = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)


def test_the_tool_cosigns_beside_the_old_file_and_verify_shows_and_counts_the_cosigners(tmp_path, capsys):
    bundle = written(tmp_path / "b.tar.zst").path
    trusted = key_folder(tmp_path / "trusted", signer(), signer("second"))
    (tmp_path / "second.pem").write_bytes(signer("second").pem)
    done = run_tool(bundle, "--key", tmp_path / "second.pem", "--trust", trusted, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["path"] == str(tmp_path / "b-cosigned.tar.zst")
    assert cli.main(["verify", made["path"], "--key", str(trusted), "--require", "2"]) == 0
    assert f"co-signed by    second, key {signer('second').key_id}" in capsys.readouterr().out
    assert cli.main(["verify", str(bundle), "--key", str(trusted), "--require", "2"]) == 1
    assert "[signatures_insufficient]" in capsys.readouterr().out
    again = run_tool(made["path"], "--key", tmp_path / "second.pem", "--trust", trusted)
    assert (again.returncode, "[already_signed]" in again.stderr) == (1, True)
    assert run_tool(bundle, "--key", tmp_path / "none.pem", "--trust", trusted).returncode == 2
