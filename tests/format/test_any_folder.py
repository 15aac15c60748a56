"""`create --any`: what is in a folder and is no file is named in full, and recorded if that is asked for."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.format.cli.cli import main
from bundles.format.writing.instants import utc_text
from tests.support.format_builders import key_folder, signer

MOMENT = 1551675967  # 2019-03-04T05:06:07Z
Create = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to collect into."""
    made = tmp_path / "collected"
    made.mkdir()
    return made


@pytest.fixture
def create(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Create:
    """Bundle the folder with `--any`; the exit code and what was said."""
    (tmp_path / "key.pem").write_bytes(signer().pem)

    def command(*options: str) -> tuple[int, str]:
        usual = ["create", str(folder), "--incident-id", "i", "--key", str(tmp_path / "key.pem")]
        code = main([*usual, "-o", str(tmp_path / "b"), "--any", *options])
        said = capsys.readouterr()
        return code, said.out + said.err

    return command


@pytest.fixture
def records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, dict[str, Any]]]:
    """Extract the bundle; name → record."""

    def read() -> dict[str, dict[str, Any]]:
        keys = key_folder(tmp_path / "keys")
        assert main(["extract", str(tmp_path / "b"), str(tmp_path / "out"), "--key", str(keys)]) == 0
        found = json.loads((tmp_path / "out/artifacts.json").read_bytes())
        assert len({record["name"] for record in found}) == len(found)
        return {record["name"]: record for record in found}

    return read


@pytest.fixture
def special(folder: Path) -> Iterator[dict[str, str]]:
    """Links, a FIFO and a socket in folders of the folder, beside one file: path → kind as a message names it."""
    (folder / "etc/rc2.d").mkdir(parents=True)
    (folder / "etc/ssh").write_bytes(b"x\n")
    (folder / "etc/rc2.d/S01ssh").symlink_to("../init.d/ssh")
    (folder / "etc/all").symlink_to("rc2.d")
    os.symlink("./a//b", folder / "etc/odd")  # noqa: PTH211 # a Path would write the target in another way
    os.mkfifo(folder / "etc/pipe")
    here = os.open(folder / "etc", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{here}/x")  # the name of a socket has at most 108 bytes
        yield {
            "etc/rc2.d/S01ssh": "link to '../init.d/ssh'",
            "etc/all": "link to 'rc2.d'",
            "etc/odd": "link to './a//b'",
            "etc/pipe": "FIFO",
            "etc/x": "socket",
        }
    os.close(here)


def test_links_and_special_files_are_refused_by_their_full_paths_and_kinds(special, create, tmp_path):
    code, said = create()
    assert code == 1
    assert "[input_invalid]" in said
    assert "--special record" in said
    for path, kind in special.items():
        assert f"'{path}' ({kind})" in said
    assert not (tmp_path / "b").exists()
    assert not list(tmp_path.glob(".bundle-*"))


def test_many_of_them_are_counted(folder, create):
    for number in range(25):
        (folder / f"{number:02}").symlink_to("x")
    code, said = create()
    assert code == 1
    assert "'19' (link to 'x') and 5 more" in said


def test_with_special_record_the_records_say_what_they_are(special, create, records, tmp_path):
    assert create("--special", "record")[0] == 0
    found = records()
    assert set(found) == {*special, "etc/ssh"}
    assert {name: record.get("file_type") for name, record in found.items()} == {
        "etc/rc2.d/S01ssh": "link", "etc/all": "link", "etc/odd": "link", "etc/pipe": "fifo", "etc/x": "socket",
        "etc/ssh": None,
    }  # fmt: skip
    assert (found["etc/rc2.d/S01ssh"]["target"], found["etc/odd"]["target"]) == ("../init.d/ssh", "./a//b")
    assert not any("artifact_id" in found[path] or "sha256" in found[path] for path in special)
    assert [entry for entry in (tmp_path / "out/artifacts").rglob("*") if not entry.is_dir()] == [
        tmp_path / "out/artifacts" / found["etc/ssh"]["artifact_id"] / "ssh"
    ]


def test_what_was_extracted_can_be_bundled_again_to_the_same_content(special, create, records, tmp_path, capsys):
    (tmp_path / "collected/empty").mkdir()
    digest = json.loads(create("--special", "record", "--json")[1])["content_digest"]
    assert {"empty", *special} < set(records())
    for name in ("manifest.json", "manifest.sig"):
        (tmp_path / "out" / name).unlink()
    capsys.readouterr()
    usual = ["create", str(tmp_path / "out"), "--incident-id", "i", "--key", str(tmp_path / "key.pem"), "--json"]
    assert main([*usual, "-o", str(tmp_path / "again")]) == 0
    assert json.loads(capsys.readouterr().out)["content_digest"] == digest


def test_extracting_lists_what_has_a_record_but_no_file(special, create, tmp_path, capsys):
    assert create("--special", "record")[0] == 0
    keys = ["--key", str(key_folder(tmp_path / "keys"))]
    assert main(["extract", str(tmp_path / "b"), str(tmp_path / "out"), *keys]) == 0
    said = capsys.readouterr().out
    assert f"records in artifacts.json without a file: {len(special)}" in said
    assert "etc/rc2.d/S01ssh -> ../init.d/ssh" in said
    assert main(["extract", str(tmp_path / "b"), str(tmp_path / "out2"), *keys, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["without_file"]
    assert {"name": "etc/pipe", "file_type": "fifo"} in listed
    assert {one["name"] for one in listed} == set(special)


def test_a_link_to_a_folder_is_not_entered(folder, create, records, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_bytes(b"not to be bundled")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert create("--special", "record")[0] == 0
    assert list(records()) == ["link"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_recorded_with_its_numbers(folder, create, records):
    os.mknod(folder / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert "'null' (character device)" in create()[1]
    assert create("--special", "record")[0] == 0
    found = records()["null"]
    assert (found["file_type"], found["device"]) == ("character device", "1:3")


def test_a_folder_may_be_deeper_than_python_recurses(folder, create, records, monkeypatch):
    depth = 1500
    with monkeypatch.context() as moved:
        moved.chdir(folder)
        for _ in range(depth):
            Path("d").mkdir()
            os.chdir("d")
        Path("file").write_bytes(b"x")
        moved.undo()
        code = create()[0]
        moved.chdir(folder / ("d/" * depth))
        Path("file").unlink()
        for _ in range(depth):  # as whatever removes the test's folder recurses
            os.chdir("..")
            Path("d").rmdir()
    assert code == 0
    assert list(records()) == ["d/" * depth + "file"]


def test_empty_folders_are_named_and_others_are_not(folder, create, records, tmp_path):
    for path in ("Users/victim/Desktop", "Windows/Temp", "full/of"):
        (folder / path).mkdir(parents=True)
    (folder / "full/of/files").write_bytes(b"x")
    assert create()[0] == 0
    found = records()
    assert {name: record.get("file_type") for name, record in found.items()} == {
        "Users/victim/Desktop": "folder", "Windows/Temp": "folder", "full/of/files": None,
    }  # fmt: skip


def test_the_record_of_a_file_has_what_the_system_tells_of_it(folder, create, records):
    file = folder / "note.txt"
    file.write_bytes(b"data")
    file.chmod(0o640)
    os.utime(file, (0, MOMENT))
    (folder / "finer").write_bytes(b"")
    os.utime(folder / "finer", ns=(0, MOMENT * 10**9 + 120))
    assert create()[0] == 0
    found, status = records(), file.stat()
    note = found["note.txt"]
    assert (note["mtime"], found["finer"]["mtime"]) == ("2019-03-04T05:06:07Z", "2019-03-04T05:06:07.000000120Z")
    assert (note["mode"], note["uid"], note["gid"]) == ("0640", status.st_uid, status.st_gid)
    shown = subprocess.run(["stat", "-c", "%U %G %W", file], capture_output=True, text=True, check=True).stdout.split()
    assert [note["user"], note["group"]] == shown[:2]
    if shown[2] not in {"0", "-"}:
        assert note["birth_time"].startswith(str(utc_text(int(shown[2]) * 10**9)).removesuffix("Z"))


def test_another_time_of_a_file_is_another_content(folder, create, tmp_path, capsys):
    (folder / "a").write_bytes(b"x")
    digests = set()
    for moment in (MOMENT, MOMENT, MOMENT + 1):
        os.utime(folder / "a", (0, moment))
        assert create("--json")[0] == 0
        keys = key_folder(tmp_path / "keys")
        main(["verify", str(tmp_path / "b"), "--key", str(keys), "--json"])
        digests.add(json.loads(capsys.readouterr().out)["content_digest"])
        (tmp_path / "b").unlink()
    assert len(digests) == 2


def test_the_working_folder_is_not_bundled_where_the_output_lies_in_the_folder(folder, tmp_path, capsys):
    (folder / "a").write_bytes(b"x")
    (tmp_path / "key.pem").write_bytes(signer().pem)
    usual = ["create", str(folder), "--incident-id", "i", "--key", str(tmp_path / "key.pem"), "--any"]
    assert main([*usual, "-o", str(folder / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 4  # the data members and `a`
    assert sorted(entry.name for entry in folder.iterdir()) == ["a", "b"]


def test_links_are_recorded_only_of_any_folder(tmp_path, capsys):
    (tmp_path / "key.pem").write_bytes(signer().pem)
    usual = ["create", str(tmp_path), "--incident-id", "i", "--key", str(tmp_path / "key.pem"), "-o", str(tmp_path)]
    assert main([*usual, "--special", "record"]) == 1
    assert "[input_invalid]" in capsys.readouterr().err


def test_a_file_that_grows_is_refused_by_its_path(folder, create, monkeypatch):
    """The file grows between the moment it is found and the moment it is read."""
    (folder / "var/log").mkdir(parents=True)
    (folder / "var/log/access.log").write_bytes(b"one\n")
    os.mkfifo(folder / "var/gate")
    grown: list[str] = []
    real = os.readlink

    def grow(path: Any) -> str:
        with (folder / "var/log/access.log").open("ab") as log:
            log.write(b"two\n")
        grown.append(str(path))
        return str(real(path))

    (folder / "var/log/zz").symlink_to("nowhere")  # read after the file was found, before it is opened
    monkeypatch.setattr("bundles.format.writing.entries.os.readlink", grow)
    code, said = create("--special", "record")
    assert (code, len(grown)) == (1, 1)
    assert "'var/log/access.log' changed while it was read: it had 4 bytes, then 8" in said


def test_the_bundle_does_not_depend_on_the_locale(folder, create, tmp_path, capsys):
    for name in ("résumé.txt".encode(), b"caf\xe9.txt"):
        os.close(os.open(os.fsencode(folder) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    code, said = create("--json")
    assert code == 0
    usual = [sys.executable, "-m", "bundles.format", "create", str(folder), "--any", "--incident-id", "i", "--json"]
    done = subprocess.run(
        [*usual, "--key", str(tmp_path / "key.pem"), "-o", str(tmp_path / "c")],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert json.loads(done.stdout)["content_digest"] == json.loads(said)["content_digest"]


@given(names=st.sets(st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 47}), max_size=5))
@settings(max_examples=25, deadline=None)
def test_the_bytes_of_every_name_can_be_had_back(names):
    names -= {b".", b".."}
    with tempfile.TemporaryDirectory() as room:
        collected, key = Path(room) / "collected", Path(room) / "key.pem"
        collected.mkdir()
        key.write_bytes(signer().pem)
        for name in names:
            descriptor = os.open(os.fsencode(collected) + b"/" + name, os.O_CREAT | os.O_WRONLY)
            os.write(descriptor, b"of " + name)
            os.close(descriptor)
        bundle, keys = Path(room) / "b", key_folder(Path(room) / "keys")
        usual = ["create", str(collected), "--incident-id", "i", "--key", str(key), "-o", str(bundle)]
        assert main([*usual, "--any"]) == 0
        assert main(["extract", str(bundle), str(Path(room) / "out"), "--key", str(keys)]) == 0
        found = json.loads((Path(room) / "out/artifacts.json").read_bytes())
        assert {record["name"].encode("utf-8", "surrogateescape") for record in found} == names
        for record in found:
            (stored,) = (Path(room) / "out/artifacts" / record["artifact_id"]).iterdir()
            assert stored.read_bytes() == b"of " + record["name"].encode("utf-8", "surrogateescape")
