"""Exported bags are valid according to bagit-python, the most used implementation, and still have the signature."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path

import pytest

from bundles.format.cli import cli
from bundles.format.model.errors import BundleRejectedError
from bundles.format.writing.bagit import export_bag
from tests.support.format_builders import (
    PEOPLE,
    SAMPLE,
    fields_of,
    key_folder,
    ring,
    signed,
    signer,
    tar_of,
    written,
    zstd,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks setuptools for its own version in an outdated way
    import bagit

AWKWARD = PEOPLE | {
    "artifacts/a-1/C:%5CTemp%5Ca b.exe": b"windows",
    "artifacts/a-2/ímynd með bili 証拠.dd": b"beyond ASCII",
    "artifacts/a-3/e\u0301.txt": b"decomposed",
    "artifacts/a-4/100%25.txt": b"percent",
    "artifacts/a-5/ends in a blank ": b"blank",
    "artifacts/a-6/*star": b"star",
    "artifacts/a-7/  two   blanks": b"",
    "artifacts/a-8/ends in an odd blank\u2003": b"odd",
}


def valid(bag: Path) -> bool:
    return bool(bagit.Bag(str(bag)).is_valid())


@pytest.mark.parametrize("files", [SAMPLE, AWKWARD], ids=["sample", "awkward names"])
def test_a_bag_is_valid_and_holds_every_file(files, tmp_path):
    made = export_bag(written(tmp_path / "b", files).path, ring(), tmp_path / "bag")
    assert made.directory == tmp_path / "bag"
    assert valid(tmp_path / "bag")
    found = [path.read_bytes() for path in (tmp_path / "bag" / "data").rglob("*") if path.is_file()]
    assert sorted(found) == sorted(files.values())
    payload = bagit.Bag(str(tmp_path / "bag")).payload_entries()
    assert sorted(entry["sha256"] for entry in payload.values()) == sorted(
        hashlib.sha256(data).hexdigest() for data in files.values()
    )
    names = {path.name for path in (tmp_path / "bag").iterdir()}
    assert {"bagit.txt", "bag-info.txt", "manifest.json", "manifest.sig", "data"} < names


def test_ordinary_names_stay_as_they_are(tmp_path):
    export_bag(written(tmp_path / "b").path, ring(), tmp_path / "bag")
    for path, data in SAMPLE.items():
        assert (tmp_path / "bag" / "data" / path).read_bytes() == data


@pytest.mark.parametrize("name", ["data/artifacts/a-1/note.txt", "manifest.json", "manifest.sig", "bag-info.txt"])
def test_a_bag_that_was_changed_is_no_longer_valid(name, tmp_path):
    export_bag(written(tmp_path / "b").path, ring(), tmp_path / "bag")
    (tmp_path / "bag" / name).write_bytes(b"x" + (tmp_path / "bag" / name).read_bytes()[1:])
    assert not valid(tmp_path / "bag")


def test_a_bundle_that_is_not_verified_becomes_no_bag(tmp_path):
    wrong = SAMPLE | {"alerts.json": b"x" * len(SAMPLE["alerts.json"])}
    (tmp_path / "b").write_bytes(zstd(tar_of(signed(fields_of()), wrong)))
    with pytest.raises(BundleRejectedError) as refusal:
        export_bag(tmp_path / "b", ring(), tmp_path / "bag")
    assert refusal.value.code == "file_hash_mismatch"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_two_names_that_would_become_one_are_kept_apart_and_listed(tmp_path):
    twins = PEOPLE | {"artifacts/a-1/a%5Cb": b"one", "artifacts/a-1/a=5Cb": b"two", "artifacts/a-2/plain": b"three"}
    bag = export_bag(written(tmp_path / "b", twins).path, ring(), tmp_path / "bag").directory
    assert valid(bag)
    found = {entry["member"]: bag / entry["written"] for entry in json.loads((bag / "names.json").read_bytes())}
    assert {member: path.read_bytes() for member, path in found.items()} == {
        "artifacts/a-1/a%5Cb": b"one", "artifacts/a-1/a=5Cb": b"two",
    }  # fmt: skip


def test_a_bag_for_windows_is_valid_and_has_names_that_windows_can_hold(tmp_path):
    files = PEOPLE | {
        "artifacts/a-1/aux.dat": b"1",
        "artifacts/A-1/x.exe:Zone.Identifier": b"2",
        "artifacts/a-2/r.": b"3",
    }
    bag = export_bag(written(tmp_path / "b", files).path, ring(), tmp_path / "bag", names="windows").directory
    assert valid(bag)
    listed = {entry["member"]: entry["written"] for entry in json.loads((bag / "names.json").read_bytes())}
    assert set(listed) == set(files) - set(PEOPLE)
    assert all((bag / written).read_bytes() == files[member] for member, written in listed.items())
    assert listed["artifacts/a-2/r."] == "data/artifacts/a-2/r=2E"


def test_the_command_makes_a_bag_and_never_over_another(tmp_path, capsys):
    bundle = str(written(tmp_path / "b").path)
    keys = ["--key", str(key_folder(tmp_path / "keys"))]
    assert cli.main(["export-bagit", bundle, str(tmp_path / "bag"), *keys]) == 0
    assert valid(tmp_path / "bag")
    assert cli.main(["export-bagit", bundle, str(tmp_path / "bag"), *keys]) == 2
    assert "[cannot_extract]" in capsys.readouterr().err
    strangers = ["--key", str(key_folder(tmp_path / "others", signer("stranger")))]
    assert cli.main(["export-bagit", bundle, str(tmp_path / "other"), *strangers]) == 1
    assert not (tmp_path / "other").exists()
