"""`python -m bundles.format` and tools/verify_bundle.py: exit codes, JSON, hostile names, no zstandard."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundles.format.cli.cli import main
from tests.support.format_builders import SAMPLE, crafted, key_folder, sha256, signer, written

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "verify_bundle.py"
REPORT = [
    "verified", "bundle", "sha256", "size", "incident_id", "created_at", "key_id", "signer", "complete", "missing",
    "files", "bytes", "content_digest", "manifest_hash", "checks", "error", "seconds",
]  # fmt: skip
STEPS = ["container", "members", "manifest", "signature", "consistency", "contents", "end"]
CREATED = {
    "bundle", "sha256", "size", "incident_id", "content_digest", "manifest_hash", "key_id", "files", "bytes",
    "complete",
}  # fmt: skip
WITHOUT_ZSTANDARD = (
    "import sys; sys.modules['zstandard'] = None; from bundles.format.cli.cli import main; sys.exit(main())"
)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys) -> Run:
    """Run a command in this process; its exit code and what it printed."""

    def command(*arguments: Any) -> tuple[int, str, str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(str(ended.code))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "sign.pem"
    path.write_bytes(signer().pem)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return key_folder(tmp_path / "keys")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return written(tmp_path / "sample.tar.zst").path


@pytest.fixture
def incident(tmp_path: Path) -> Path:
    """A folder laid out as an incident."""
    folder = tmp_path / "incident"
    for path, data in SAMPLE.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def started(*command: Any, cwd: Path = ROOT, **environment: str) -> tuple[int, str, str]:
    """Run a process with only PATH of this one's environment."""
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=False,
        timeout=240,
    )
    return ended.returncode, ended.stdout.decode("utf-8"), ended.stderr.decode("utf-8")


def test_the_four_commands_work_as_a_process(incident, private, keys, tmp_path):
    module = [sys.executable, "-m", "bundles.format"]
    bundle = tmp_path / "b"
    code, _, errors = started(
        *module, "create", incident, "--incident-id", "incident-7", "--key", private, "-o", bundle
    )
    assert (code, errors) == (0, "")
    for command, more in (("verify", []), ("list", []), ("extract", [tmp_path / "out"])):
        code, out, errors = started(*module, command, bundle, *more, "--key", keys)
        assert (code, errors) == (0, "")
        assert out
    assert (tmp_path / "out/artifacts/a-1/note.txt").read_bytes() == SAMPLE["artifacts/a-1/note.txt"]
    code, _, errors = started(*module, "verify", tmp_path / "none", "--key", keys)
    assert code == 2
    assert "[bundle_unreadable]" in errors


def test_create_prints_its_result_as_json(run, incident, private, keys, tmp_path):
    output = tmp_path / "new.tar.zst"
    code, out, _ = run("create", incident, "--incident-id", "incident-7", "--key", private, "-o", output, "--json")
    made = json.loads(out)
    assert (code, set(made)) == (0, CREATED)
    assert (made["bundle"], made["incident_id"], made["key_id"]) == (str(output), "incident-7", signer().key_id)
    assert (made["sha256"], made["size"]) == (sha256(output.read_bytes()), output.stat().st_size)
    code, out, _ = run("verify", output, "--key", keys, "--json")
    report = json.loads(out)
    assert code == 0
    shared = CREATED - {"bundle"}
    assert {name: report[name] for name in shared} == {name: made[name] for name in shared}


def test_verify_prints_a_report_with_all_fields(run, bundle, keys):
    code, out, errors = run("verify", bundle, "--key", keys, "--json")
    report = json.loads(out)
    assert (code, errors) == (0, "")
    assert list(report) == REPORT
    assert (report["verified"], report["error"], report["missing"]) == (True, None, [])
    assert report["checks"] == [{"name": name, "ok": True} for name in STEPS]
    assert (report["files"], report["bytes"]) == (len(SAMPLE), sum(map(len, SAMPLE.values())))
    assert (report["signer"], report["key_id"], report["bundle"]) == ("signer", signer().key_id, "sample.tar.zst")


def test_a_bundle_that_is_not_verified_is_exit_1_with_the_same_shape(run, bundle, tmp_path):
    other = key_folder(tmp_path / "others", signer("other"))
    code, out, _ = run("verify", bundle, "--key", other, "--json")
    report = json.loads(out)
    assert (code, list(report), report["verified"]) == (1, REPORT, False)
    assert set(report["error"]) == {"code", "detail"}
    assert report["error"]["code"] == "signer_unknown"
    assert {check["name"]: check["ok"] for check in report["checks"]}["signature"] is False
    assert [report[name] for name in ("incident_id", "files", "key_id", "content_digest", "sha256")] == [None] * 5


@pytest.mark.parametrize("command", ["verify", "list", "extract"])
def test_rejected_is_exit_1_and_not_checked_is_exit_2_for_every_command(command, run, bundle, keys, tmp_path):
    more = [tmp_path / "out"] if command == "extract" else []
    (tmp_path / "junk").write_bytes(b"no bundle at all")
    (tmp_path / "bad.pem").write_bytes(b"no key")
    cases: list[tuple[list[Any], int, str]] = [
        ([tmp_path / "junk", *more, "--key", keys], 1, "[not_a_bundle]"),
        ([tmp_path / "none", *more, "--key", keys], 2, "[bundle_unreadable]"),
        ([bundle, *more], 2, "[no_keys]"),
        ([bundle, *more, "--key", tmp_path / "bad.pem"], 2, "[key_unreadable]"),
        ([bundle, *more, "--key", tmp_path / "nowhere.pem"], 2, "[key_unreadable]"),
        ([bundle, *more, "--key", keys, "--frobnicate"], 2, "usage:"),
        ([], 2, "usage:"),
    ]
    for arguments, expected, printed in cases:
        code, out, errors = run(command, *arguments)
        assert (code, printed in out + errors) == (expected, True), (arguments, out, errors)
    assert not (tmp_path / "out").exists()


def test_list_shows_the_signed_files_and_says_that_the_payload_was_not_checked(run, bundle, keys):
    code, out, _ = run("list", bundle, "--key", keys, "--json")
    listed = json.loads(out)
    assert code == 0
    assert set(listed) == {
        *("incident_id", "created_at", "content_digest", "complete", "missing", "files", "payload_checked"),
    }
    assert listed["payload_checked"] is False
    assert {entry["path"]: entry["sha256"] for entry in listed["files"]} == {
        path: sha256(data) for path, data in SAMPLE.items()
    }
    code, out, _ = run("list", bundle, "--key", keys)
    assert all(f"{sha256(data)}  {len(data):>14}  {path}" in out for path, data in SAMPLE.items())
    assert "not checked" in out


def test_extract_reports_and_names_its_folder(run, bundle, keys, tmp_path):
    code, out, _ = run("extract", bundle, tmp_path / "out", "--key", keys, "--json")
    report = json.loads(out)
    assert (code, list(report)) == (0, [*REPORT, "directory", "names", "without_file"])
    assert (report["names"], report["without_file"]) == (None, [])
    assert (report["verified"], report["directory"]) == (True, str(tmp_path / "out"))
    code, _, errors = run("extract", bundle, tmp_path / "out", "--key", keys)
    assert code == 2
    assert "[cannot_extract]" in errors


@pytest.mark.parametrize("options", [[], ["--gzip"]])
def test_in_a_directory_the_bundle_gets_a_name_of_its_own(options, run, incident, private, tmp_path):
    keys, suffix = key_folder(tmp_path / "keys"), ".tar.gz" if options else ".tar.zst"
    (tmp_path / "room").mkdir()
    usual = ["create", incident, "--incident-id", "incident-7", "--key", private, "-o", tmp_path / "room", *options]
    assert [run(*usual)[0], run(*usual)[0]] == [0, 0]
    made = sorted((tmp_path / "room").iterdir())
    assert len(made) == 2
    assert all(file.name.startswith("incident-7-") and file.name.endswith(suffix) for file in made)
    assert made[0].read_bytes()[:2] == (b"\x1f\x8b" if options else b"\x28\xb5")
    assert [run("verify", file, "--key", keys)[0] for file in made] == [0, 0]


def test_a_file_that_exists_is_never_overwritten(run, incident, private, tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, expected_code in (("mine", "name_taken"), ("link", "name_taken"), ("none/new", "write_failed")):
        code, _, errors = run(
            "create", incident, "--incident-id", "incident-7", "--key", private, "-o", tmp_path / name
        )
        assert code == 1
        assert f"[{expected_code}]" in errors
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


def test_without_a_signing_key_nothing_is_made_and_that_is_exit_2(run, incident, tmp_path):
    (tmp_path / "room").mkdir()
    weak = tmp_path / "weak.pem"
    weak.write_bytes(signer("weak", 2048).pem)
    for key, expected_code in ((tmp_path / "none.pem", "key_unreadable"), (weak, "key_unsuitable")):
        code, _, errors = run("create", incident, "--incident-id", "incident-7", "--key", key, "-o", tmp_path / "room")
        assert code == 2
        assert f"[{expected_code}]" in errors
    assert run("create", incident, "--incident-id", "incident-7", "-o", tmp_path / "room")[0] == 2
    assert list((tmp_path / "room").iterdir()) == []


def test_a_link_in_the_folder_is_refused_and_leaves_nothing(run, incident, private, tmp_path):
    (tmp_path / "room").mkdir()
    (incident / "artifacts/a-9").mkdir()
    (incident / "artifacts/a-9/passwd").symlink_to("/etc/passwd")
    code, _, errors = run("create", incident, "--incident-id", "incident-7", "--key", private, "-o", tmp_path / "room")
    assert code == 1
    assert "[input_invalid]" in errors
    assert list((tmp_path / "room").iterdir()) == []


def test_any_folder_becomes_artifacts_whose_records_keep_their_paths(run, private, keys, tmp_path):
    files = {"a.txt": b"one", "deep/er/a.txt": b"two", "deep/\u202eímynd\n": b"three", "empty": b""}
    for path, data in files.items():
        (tmp_path / "any" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "any" / path).write_bytes(data)
    usual = ["--incident-id", "incident-7", "--key", private, "-o", tmp_path / "b"]
    assert run("create", tmp_path / "any", *usual, "--any")[0] == 0
    assert run("extract", tmp_path / "b", tmp_path / "out", "--key", keys)[0] == 0
    records = json.loads((tmp_path / "out/artifacts.json").read_bytes())
    assert {record["name"]: record["sha256"] for record in records} == {
        path: sha256(data) for path, data in files.items()
    }
    for record in records:
        assert record["artifact_id"] == hashlib.sha256(record["name"].encode()).hexdigest()[:32]
        (stored,) = (tmp_path / "out/artifacts" / record["artifact_id"]).iterdir()
        assert stored.read_bytes() == files[record["name"]]
    assert run("create", tmp_path / "any", *usual[:-1], tmp_path / "c")[0] == 1  # not laid out as an incident


def test_chunks_are_as_large_as_was_asked(run, incident, private, keys, tmp_path):
    (incident / "artifacts/a-3/disk.img").write_bytes(bytes(2 * 1024 * 1024 + 1))
    usual = ["--incident-id", "incident-7", "--key", private, "-o", tmp_path / "b", "--chunk-size-mb", "1"]
    assert run("create", incident, *usual)[0] == 0
    listed = json.loads(run("list", tmp_path / "b", "--key", keys, "--json")[1])
    (large,) = [entry for entry in listed["files"] if "chunks" in entry]
    assert [chunk["size"] for chunk in large["chunks"]] == [1 << 20, 1 << 20, 1]


def test_hostile_names_are_printed_escaped(run, tmp_path):
    hostile = "ev\x1b[31mil\u202e\n"
    files = SAMPLE | {"artifacts/a-9/zero\u200bwidth\ufeff.txt": b"x"}
    bundle = tmp_path / f"{hostile}.zst"
    bundle.write_bytes(crafted(files))
    keys = key_folder(tmp_path / "keys")
    (keys / "signer.pem").rename(keys / f"{hostile}.pem")
    outputs = [
        run("verify", bundle, "--key", keys),
        run("list", bundle, "--key", keys),
        run("verify", bundle, "--key", key_folder(tmp_path / "others", signer("other"))),
        run("verify", bundle, "--key", tmp_path / f"{hostile}.pem"),
    ]
    assert [code for code, _, _ in outputs] == [0, 0, 1, 2]
    for _, out, errors in outputs:
        assert not set(out + errors) & set("\x1b\u202e\u200b\ufeff")
    assert "ev\\x1b[31mil\\u202e\\n" in outputs[0][1]
    assert "zero\\u200bwidth\\ufeff.txt" in outputs[1][1]
    assert "ev\\x1b[31mil\\u202e\\n" in outputs[3][2]


def test_the_tool_works_from_anywhere_and_needs_neither_django_nor_a_database(bundle, keys, tmp_path):
    probe = (
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n    print(sorted({'django', 'psycopg2', 'psycopg', 'requests'} & set(sys.modules)))\n"
    )
    (tmp_path / "elsewhere").mkdir()
    code, out, errors = started(
        sys.executable, "-c", probe, TOOL, bundle, "--key", keys, "--json", cwd=tmp_path / "elsewhere"
    )
    report, loaded = out.rstrip("\n").rsplit("\n", 1)
    assert (code, errors, loaded) == (0, "", "[]")
    assert list(json.loads(report)) == REPORT


def test_the_tool_takes_its_keys_from_the_environment_by_default(bundle, keys, tmp_path):
    others = key_folder(tmp_path / "others", signer("other"))
    tool = [sys.executable, TOOL, bundle]
    assert started(*tool)[0] == 2
    assert started(*tool, ORCH_VERIFY_KEY_PATH=str(keys))[0] == 0
    assert started(*tool, "--key", others, ORCH_VERIFY_KEY_PATH=str(keys))[0] == 1
    assert started(*tool, "--key", others, "--key", keys)[0] == 0
    assert started(sys.executable, TOOL)[0] == 2


def test_without_zstandard_gzip_works_and_zstd_cannot_be_checked(bundle, incident, private, keys, tmp_path):
    command = [sys.executable, "-c", WITHOUT_ZSTANDARD]
    room = tmp_path / "room"
    room.mkdir()
    code, out, errors = started(
        *command, "create", incident, "--incident-id", "incident-7", "--key", private, "-o", room, "--json"
    )
    assert (code, errors) == (0, "")
    made = Path(json.loads(out)["bundle"])
    assert made.name.endswith(".tar.gz")
    assert made.read_bytes()[:2] == b"\x1f\x8b"
    assert started(*command, "verify", made, "--key", keys)[0] == 0
    for words in (["verify", bundle], ["list", bundle], ["extract", bundle, tmp_path / "out"]):
        code, _, errors = started(*command, *words, "--key", keys)
        assert code == 2
        assert "[zstandard_missing]" in errors
    assert not (tmp_path / "out").exists()


def test_a_closed_output_pipe_does_not_change_the_exit_code(tmp_path: Path) -> None:
    bundle = written(tmp_path / "b.tar.zst").path
    keys = key_folder(tmp_path / "keys")
    command = f"{sys.executable} -m bundles.format verify {bundle} --key {keys} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
