"""Extraction: the folder appears complete or not at all, no links are followed, and modes are not the bundle's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bundles.format.model.errors import BundleRejectedError, CannotCheckError
from bundles.format.reading.extract import extract_bundle
from bundles.format.writing.writer import WrittenBundle
from tests.support.format_builders import SAMPLE, crafted, fields_of, ring, signed, signer, tar_of, written, zstd

EVIDENCE = b"not to be touched"


@pytest.fixture
def bundle(tmp_path) -> WrittenBundle:
    """A sound bundle, and the empty folder `room` for the extraction."""
    (tmp_path / "room").mkdir()
    return written(tmp_path / "bundle")


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def modes(folder: Path) -> dict[str, int]:
    return {str(entry.relative_to(folder)): stat.S_IMODE(entry.lstat().st_mode) for entry in [*folder.rglob("*")]}


@pytest.mark.parametrize("durable", [False, True])
def test_the_folder_holds_the_members_and_nothing_stands_beside_it(durable, bundle, tmp_path):
    extracted = extract_bundle(bundle.path, ring(), tmp_path / "room/out", durable=durable)
    assert extracted.directory == tmp_path / "room/out"
    assert extracted.manifest.manifest == bundle.manifest
    assert (extracted.report.verified, extracted.report.sha256) == (True, bundle.sha256)
    found = content(extracted.directory)
    assert found.pop("manifest.json") == bundle.manifest_bytes
    assert found.pop("manifest.sig") == extracted.manifest.signature_raw
    assert found == SAMPLE
    assert names_in(tmp_path / "room") == ["out"]


def test_the_folder_does_not_appear_before_everything_matched(bundle, tmp_path):
    seen: list[tuple[int, bool]] = []
    extract_bundle(
        bundle.path,
        ring(),
        tmp_path / "room/out",
        progress=lambda done, total: seen.append((total - done, (tmp_path / "room/out").exists())),
    )
    assert seen[-1] == (0, False)
    assert not any(there for _, there in seen)


def wrong_last_file() -> bytes:
    changed = SAMPLE | {"artifacts/a-3/disk.img": bytes(2560)}
    return zstd(tar_of(signed(fields_of()), changed))


@pytest.mark.parametrize(
    ("tampered", "code"),
    [
        (wrong_last_file, "chunk_hash_mismatch"),
        (lambda: zstd(tar_of(signed(fields_of()), extra=bytes(512))), "tar_trailing_data"),
        (lambda: zstd(tar_of(signed(fields_of()))) + b"more", "trailing_data"),
        (lambda: zstd(tar_of(signed(fields_of(), signer("mallory")))), "signer_unknown"),
        (lambda: b"no bundle", "not_a_bundle"),
    ],
)
def test_of_a_bundle_that_is_refused_nothing_is_left(tampered, code, tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "bundle").write_bytes(tampered())
    with pytest.raises(BundleRejectedError) as refusal:
        extract_bundle(tmp_path / "bundle", ring(), tmp_path / "room/out")
    assert refusal.value.code == code
    assert names_in(tmp_path / "room") == []


def test_work_that_is_abandoned_leaves_nothing(bundle, tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_bundle(bundle.path, ring(), tmp_path / "room/out", progress=stop)
    assert names_in(tmp_path / "room") == []


def taken_by_file(into: Path) -> None:
    into.write_bytes(EVIDENCE)


def taken_by_folder(into: Path) -> None:
    into.mkdir()
    (into / "alerts.json").write_bytes(EVIDENCE)


def taken_by_empty_folder(into: Path) -> None:
    into.mkdir()


def taken_by_link(into: Path) -> None:
    elsewhere = into.parent.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    into.symlink_to(elsewhere)


def taken_by_dangling_link(into: Path) -> None:
    into.symlink_to(into.parent.parent / "nowhere")


TAKEN = [taken_by_file, taken_by_folder, taken_by_empty_folder, taken_by_link, taken_by_dangling_link]


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before", "meanwhile"])
@pytest.mark.parametrize("take", TAKEN)
def test_a_target_that_exists_is_left_as_it_is(take, meanwhile, bundle, tmp_path):
    into = tmp_path / "room/out"

    def late(done: int, total: int) -> None:
        if meanwhile and not os.path.lexists(into):
            take(into)

    if not meanwhile:
        take(into)
    with pytest.raises(CannotCheckError) as refusal:
        extract_bundle(bundle.path, ring(), into, progress=late)
    assert refusal.value.code == "cannot_extract"
    assert names_in(tmp_path / "room") == ["out"]
    assert set(content(tmp_path / "room").values()) <= {EVIDENCE}
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "elsewhere").exists() or names_in(tmp_path / "elsewhere") == []


def test_a_target_without_a_parent_cannot_be_extracted_to(bundle, tmp_path):
    with pytest.raises(CannotCheckError) as refusal:
        extract_bundle(bundle.path, ring(), tmp_path / "room/none/out")
    assert refusal.value.code == "cannot_extract"
    assert names_in(tmp_path / "room") == []


def test_a_link_put_into_the_staging_folder_is_not_followed(bundle, tmp_path):
    """Another process replaces folders by links while the first members are written."""
    outside = tmp_path / "outside"
    outside.mkdir()

    def meddle(done: int, total: int) -> None:
        staging = next(iter((tmp_path / "room").glob(".extract-*")))
        if not (staging / "artifacts").exists():
            (staging / "artifacts").symlink_to(outside)

    with pytest.raises(CannotCheckError) as refusal:
        extract_bundle(bundle.path, ring(), tmp_path / "room/out", progress=meddle)
    assert refusal.value.code == "cannot_extract"
    assert names_in(outside) == []
    assert names_in(tmp_path / "room") == []


def test_links_beside_the_target_are_neither_followed_nor_removed(bundle, tmp_path):
    room, outside = tmp_path / "room", tmp_path / "outside"
    outside.mkdir()
    names = ["artifacts", "alerts.json", "manifest.json", ".extract-0000000000000000.part"]
    for name in names:
        (room / name).symlink_to(outside)
    extract_bundle(bundle.path, ring(), room / "out")
    (tmp_path / "refused").write_bytes(wrong_last_file())
    with pytest.raises(BundleRejectedError):
        extract_bundle(tmp_path / "refused", ring(), room / "other")
    assert names_in(room) == sorted([*names, "out"])
    assert all((room / name).is_symlink() for name in names)
    assert names_in(outside) == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_and_owners_are_ours(umask, bundle, tmp_path):
    before = os.umask(umask)
    try:
        out = extract_bundle(bundle.path, ring(), tmp_path / "room/out").directory
    finally:
        os.umask(before)
    assert {mode for name, mode in modes(out).items() if (out / name).is_file()} == {0o640 & ~umask}
    assert {mode for name, mode in modes(out).items() if (out / name).is_dir()} == {0o750 & ~umask}
    assert stat.S_IMODE(out.stat().st_mode) & 0o027 == 0
    assert {(entry.lstat().st_uid, entry.lstat().st_gid) for entry in out.rglob("*")} == {(os.geteuid(), os.getegid())}


def test_an_unusual_name_becomes_one_regular_file(tmp_path):
    names = ["%2E%2E", "C:%5Cx", "-rf", "~", "*", " ", "$(id)", "é" * 127, "CON", "a\u200bb"]
    files = SAMPLE | {f"artifacts/h-{index}/{name}": name.encode() for index, name in enumerate(names)}
    (tmp_path / "bundle").write_bytes(crafted(files))
    out = extract_bundle(tmp_path / "bundle", ring(), tmp_path / "out").directory
    assert {path: data for path, data in content(out).items() if not path.startswith("manifest.")} == files


def test_a_waived_signature_extracts_but_does_not_verify(bundle, tmp_path):
    extracted = extract_bundle(bundle.path, None, tmp_path / "room/out")
    assert (extracted.report.verified, extracted.manifest.key) == (False, None)
    (tmp_path / "refused").write_bytes(wrong_last_file())
    with pytest.raises(BundleRejectedError):
        extract_bundle(tmp_path / "refused", None, tmp_path / "room/other")
    assert names_in(tmp_path / "room") == ["out"]
