"""Every file of a bundle comes out of `extract`, whatever names it has, and its true name can be had back."""

from __future__ import annotations

import json
import os
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bundles.format.cli.cli import main
from bundles.format.model import paths
from bundles.format.model.errors import CannotCheckError
from bundles.format.reading.extract import ExtractedBundle, extract_bundle
from bundles.format.reading.single import extract_file
from tests.support.format_builders import PEOPLE, canonical, crafted, key_folder, ring

# From fakesrc.py's case `names`: names that some file system cannot hold, or that lie about themselves.
NAMES = [
    "NUL", "con.txt", "report.", "notes ", "evil.exe:Zone.Identifier", "C:\\Users\\Public\\a.exe", "a<b>|c?.txt",
    "aux.dat", "COM1.log", "R\u00e9sum\u00e9.pdf", "Re\u0301sume\u0301.pdf", "README.TXT", "readme.txt",
    "x" * 300 + ".evtx", "dir/sub/", "..", "nul\u0000name.bin", "\ud800lone.bin", "%5Cpercent.txt", "new\nline.txt",
    "\u202egpj.exe",
]  # fmt: skip
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³")}


def bundle_of(folder: Path, files: dict[tuple[str, str], bytes]) -> tuple[Path, dict[str, tuple[str, str, bytes]]]:
    """A bundle of artifacts: (artifact id, true name) → bytes. Also: member path → (id, name, bytes)."""
    members = {paths.artifact_path(*key): (*key, data) for key, data in files.items()}
    records = [{"artifact_id": artifact_id, "name": name} for artifact_id, name, _ in members.values()]
    lines = b",\n".join(canonical(record) for record in records)
    data = {member: content for member, (_, _, content) in members.items()}
    made = folder / "b"
    made.write_bytes(crafted(PEOPLE | {"artifacts.json": b"[\n" + lines + b"\n]" if records else b"[]"} | data))
    return made, members


def check_every_file(extracted: ExtractedBundle, members: dict[str, tuple[str, str, bytes]]) -> dict[str, str]:
    """Check that each member is one file, and that the map gives each true name; member → where it was written."""
    directory = extracted.directory
    mapped = directory / "names.json"
    listed = {one["member"]: one for one in (json.loads(mapped.read_bytes()) if mapped.exists() else [])}
    assert {member: one["written"] for member, one in listed.items()} == extracted.renamed
    where = {member: extracted.renamed.get(member, member) for member in members}
    found = {str(path.relative_to(directory)) for path in (directory / "artifacts").rglob("*") if path.is_file()}
    assert found == set(where.values())
    assert len(found) == len(members)
    for member, (_, name, data) in members.items():
        assert (directory / where[member]).read_bytes() == data
        if member in listed:
            assert listed[member]["name"] == name
    return where


def assert_windows_can_hold(written: list[str]) -> None:
    for path in written:
        for name in path.split("/"):
            assert not set(name) & set('<>:"|?*\\')
            assert min(name) >= " "
            assert name[-1] not in ". "
            assert name.split(".")[0].strip().upper() not in RESERVED
            assert len(name.encode("utf-16-le")) // 2 <= 255
            assert len(name.encode()) <= 255
    for alike in (str.lower, str.upper, str.casefold):
        for form in ("NFC", "NFD"):
            assert len({unicodedata.normalize(form, alike(path)) for path in written}) == len(written)


AWKWARD = st.sampled_from([
    "CON", "con", "Aux.dat", "NUL ", "nul.", "a", "A", "a.", "a ", "a:b", "a%3Ab", "é", "e\u0301", "\u017f", "S", "ß",
    "SS", "İ", "i\u0307", "ﬁ", "fi", "a\u200bb", "ab", "x" * 255, "X" * 255, ":" * 255, "LPT¹", "%43ON", *NAMES,
])  # fmt: skip
ANY_NAME = AWKWARD | st.text(st.characters(), max_size=20)
IDS = st.sampled_from(["a-1", "A-1", "a-1.", "CON", "con", "nul.txt", "Com1", "b"]) | st.from_regex(
    r"[A-Za-z0-9._-]{1,8}", fullmatch=True
).filter(paths.valid_artifact_id)


@pytest.mark.parametrize("names", ["posix", "auto", "windows"])
@given(keys=st.sets(st.tuples(IDS, ANY_NAME), max_size=12))
@example(keys={(f"n-{number:02}", name) for number, name in enumerate(NAMES)})
@example(keys={("one", name) for name in NAMES})
@example(keys={("CASE-1", "a.txt"), ("case-1", "a.txt")})
@settings(max_examples=40, deadline=None)
def test_any_names_give_as_many_files_and_their_true_names_back(names, keys):
    files = {key: repr(key).encode() for key in keys}
    with tempfile.TemporaryDirectory() as room:
        bundle, members = bundle_of(Path(room), files)
        where = check_every_file(extract_bundle(bundle, ring(), Path(room) / "out", names=names), members)
        if names == "windows":
            assert_windows_can_hold(list(where.values()))


def test_names_that_a_target_holds_are_kept_and_no_map_is_written(tmp_path):
    bundle, members = bundle_of(tmp_path, {("CON", "aux.dat"): b"1", ("a", "r."): b"2", ("a", "x:y"): b"3"})
    for names in ("posix", "auto"):
        extracted = extract_bundle(bundle, ring(), tmp_path / names, names=names)
        assert list(check_every_file(extracted, members)) == list(members)
        assert not (tmp_path / names / "names.json").exists()


def test_windows_names_can_be_read(tmp_path):
    bundle, members = bundle_of(
        tmp_path, {("a", "aux.dat"): b"1", ("a", "report."): b"2", ("a", "evil.exe:Zone.Identifier"): b"3",
                   ("a", "plain.txt"): b"4", ("CON", "x"): b"5"},
    )  # fmt: skip
    where = check_every_file(extract_bundle(bundle, ring(), tmp_path / "out", names="windows"), members)
    assert sorted(where.values()) == [
        "artifacts/%43ON/x", "artifacts/a/%61ux.dat", "artifacts/a/evil.exe%3AZone.Identifier", "artifacts/a/plain.txt",
        "artifacts/a/report%2E",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "alike", [str.casefold, lambda name: unicodedata.normalize("NFD", name), lambda name: name.rstrip(". ")]
)
def test_on_a_target_that_takes_names_for_the_same_each_file_gets_its_own(alike, tmp_path, monkeypatch):
    """No such file system can be mounted everywhere: the system calls below the reader take alike names for one."""
    keys = [("CASE-1", "a.txt"), ("case-1", "a.txt"), ("u", "é"), ("u", "e\u0301"), ("d", "a"), ("d", "a."), ("d", "A")]
    bundle, members = bundle_of(tmp_path, {key: repr(key).encode() for key in keys})
    with monkeypatch.context() as patched:
        for name in ("open", "mkdir", "stat"):
            patched.setattr(os, name, _by(alike, getattr(os, name)))
        renamed = extract_bundle(bundle, ring(), tmp_path / "out", names="auto").renamed
        with pytest.raises(CannotCheckError) as refusal:
            extract_bundle(bundle, ring(), tmp_path / "other", names="posix")
    assert (refusal.value.code, "--names auto" in refusal.value.detail) == ("cannot_extract", True)
    assert not (tmp_path / "other").exists()
    assert renamed
    found = [path for path in (tmp_path / "out/artifacts").rglob("*") if path.is_file()]
    assert len(found) == len(members)
    for member, (_, _, data) in members.items():
        written = "/".join(map(alike, renamed.get(member, member).split("/")))
        assert (tmp_path / "out" / written).read_bytes() == data


def _by(alike: Callable[[str], str], call: Callable[..., Any]) -> Callable[..., Any]:
    """A system call that takes each name by a directory handle as the same as those that are alike."""

    def taken(path: Any, *more: Any, dir_fd: int | None = None, **options: Any) -> Any:
        return call(path if dir_fd is None else alike(path), *more, dir_fd=dir_fd, **options)

    return taken


def test_one_file_alone_gets_a_name_too(tmp_path):
    bundle, _ = bundle_of(tmp_path, {("a", "aux.dat"): b"1", ("b", "plain"): b"2"})
    extract_file(bundle, ring(), "artifacts/a/aux.dat", tmp_path / "out", names="windows")
    assert (tmp_path / "out/artifacts/a/%61ux.dat").read_bytes() == b"1"
    assert json.loads((tmp_path / "out/names.json").read_bytes()) == [
        {"member": "artifacts/a/aux.dat", "written": "artifacts/a/%61ux.dat"}
    ]
    extract_file(bundle, ring(), "artifacts/b/plain", tmp_path / "plain", names="windows")
    assert not (tmp_path / "plain/names.json").exists()


def test_the_command_says_how_many_names_it_changed_and_where_they_are_listed(tmp_path, capsys):
    bundle, _ = bundle_of(tmp_path, {("a", "aux.dat"): b"1", ("a", "report."): b"2"})
    usual = ["extract", str(bundle), str(tmp_path / "out"), "--key", str(key_folder(tmp_path / "keys"))]
    assert main([*usual, "--names", "windows"]) == 0
    said = capsys.readouterr().out
    assert f"2 names were changed for this target; {tmp_path / 'out/names.json'} lists the true names" in said
    usual[2] = str(tmp_path / "again")
    assert main([*usual, "--names", "windows", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == str(tmp_path / "again/names.json")
