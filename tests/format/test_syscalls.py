"""The reader's changes to the file system, traced by strace.

Verifying changes nothing. Extracting touches only its staging folder and the target, follows no link, and leaves
nothing of a rejected bundle. A failed call counts like a successful one.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.format_builders import SAMPLE, SOUND, crafted, fields_of, member, signed, signer, tar_of, zstd

ROOT = Path(__file__).resolve().parents[2]
OPENS = {"open", "openat", "openat2", "creat"}
LINKS = {"symlink", "symlinkat"}  # they do not touch the path in their first argument
CHANGES = {
    "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat",
    "unlink", "unlinkat", "rmdir", "truncate", "ftruncate", "fallocate", "chmod", "fchmod", "fchmodat", "fchmodat2",
    "chown", "fchown", "lchown", "fchownat", "utimensat", "setxattr", "fsetxattr", "chdir", "fchdir",
}  # fmt: skip
TRACED = ",".join(f"?{name}" for name in sorted(OPENS | CHANGES))  # "?": not every architecture has each
WRITES = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"}
TRIED = re.compile(r"/room/\.extract-[0-9a-f]{16}\.part/\.names-[0-9a-f]{16}(/|$)")
LINE = re.compile(r"\d+ +(\w+)\((.*)$")
UNFINISHED = re.compile(r"(\d+) +(\w+\(.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")
PLACE = re.compile(r'(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')
DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
DEVICE = re.compile(r"/dev/(null|tty|pts/\d+)")


@dataclass(frozen=True)
class Call:
    """One system call: its name, its flags, and the absolute paths it names, those of directory handles resolved."""

    name: str
    flags: frozenset[str]
    paths: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether it makes, changes, renames or removes something, or would if it succeeded."""
        if self.name not in OPENS:
            return True
        writes = self.name == "creat" or bool(self.flags & WRITES)
        return writes and not all(DEVICE.fullmatch(path) for path in self.paths)


def whole_lines(trace: str) -> list[str]:
    """The calls of a trace; joins those that were interrupted by another thread's call."""
    begun: dict[str, str] = {}
    lines = []
    for line in trace.splitlines():
        if match := UNFINISHED.match(line):
            begun[match[1]] = f"{match[1]} {match[2]}"
        elif match := RESUMED.match(line):
            lines.append(begun.pop(match[1]) + match[2])
        else:
            lines.append(line)
    return lines + list(begun.values())  # a process killed in a call may have completed it


def calls_in(trace: str, working: Path) -> list[Call]:
    """The calls in a trace of processes started in the folder `working`."""
    calls = []
    for match in filter(None, map(LINE.match, whole_lines(trace))):
        name, arguments = match[1], re.sub(r"\) += (-?\d+|\?).*$", "", match[2])
        places = [
            os.path.normpath(working / (folder or "") / ast.literal_eval(f'b"{text}"').decode())
            for folder, text in PLACE.findall(arguments)
        ]
        if not places:
            places = DESCRIPTOR.findall(arguments)
        assert places, f"no path is seen in {match[0]}"
        flags = frozenset(re.findall(r"\b(?:O|AT)_[A-Z]+", arguments.rpartition('"')[2]))
        calls.append(Call(name, flags, tuple(places[1:] if name in LINKS else places)))
    return calls


def traced(room: Path, *command: str, expected: int = 0) -> list[Call]:
    """The calls of a Python command, with those of its threads and children."""
    trace_file = room.parent / f"{room.name}.trace"
    tracer = ["strace", "-f", "-y", "-s", "8192", "-o", str(trace_file), "-e", f"trace={TRACED}", "-e", "signal=none"]
    done = subprocess.run(
        [*tracer, sys.executable, *command],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == expected, done.stdout + done.stderr
    return calls_in(trace_file.read_text(), ROOT)


def touched(calls: list[Call]) -> set[str]:
    """What was made or changed, without the folder in which the reader tries what names the target holds."""
    return {path for call in calls if call.changes for path in call.paths if not TRIED.search(path)}


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """An empty folder; beside it a sound bundle and the signer's public key."""
    (tmp_path / "room").mkdir()
    (tmp_path / "bundle").write_bytes(SOUND())
    (tmp_path / "key.pem").write_bytes(signer().public_pem)
    return tmp_path / "room"


def wrong_last_file() -> bytes:
    return zstd(tar_of(signed(fields_of()), SAMPLE | {"artifacts/a-3/disk.img": bytes(2560)}))


def a_path_that_leads_outside() -> bytes:
    return crafted(SAMPLE | {"artifacts/a-4/../../../outside": b"x"})


def a_member_beyond_the_manifest() -> bytes:
    return zstd(tar_of(signed(fields_of()), extra=member("../outside", b"x")))


REFUSED = [wrong_last_file, a_path_that_leads_outside, a_member_beyond_the_manifest]


def extracted(room: Path, expected: int = 0) -> list[Call]:
    bundle, key = str(room.parent / "bundle"), str(room.parent / "key.pem")
    command = ("-m", "bundles.format", "extract", bundle, str(room / "out"), "--key", key)
    return traced(room, *command, expected=expected)


def staging_of(calls: list[Call], room: Path) -> str:
    """The folder that the reader made first."""
    [staging] = next(call.paths for call in calls if call.changes)
    assert re.fullmatch(rf"{re.escape(str(room))}/\.extract-[0-9a-f]{{16}}\.part", staging)
    return staging


@pytest.mark.parametrize("bundle", [SOUND, *REFUSED], ids=["sound", *(made.__name__ for made in REFUSED)])
def test_verifying_makes_and_changes_nothing_anywhere(bundle, room):
    (room.parent / "bundle").write_bytes(bundle())
    command = ("tools/verify_bundle.py", str(room.parent / "bundle"), "--key", str(room.parent / "key.pem"))
    calls = traced(room, *command, expected=0 if bundle is SOUND else 1)
    assert [call for call in calls if str(room.parent / "bundle") in call.paths], "the trace includes the read"
    assert touched(calls) == set()


def test_extracting_touches_its_staging_folder_and_the_target_and_nothing_else(room):
    calls = extracted(room)
    staging = staging_of(calls, room)
    files = {"manifest.json", "manifest.sig", *SAMPLE}
    folders = {parent for path in SAMPLE for parent in map(str, Path(path).parents) if parent != "."}
    assert touched(calls) == {staging, str(room / "out"), *(f"{staging}/{path}" for path in files | folders)}
    renames = [call.paths for call in calls if call.name.startswith("rename")]
    assert renames == [(staging, str(room / "out"))]
    assert names_in(room) == ["out"]


def test_extracting_follows_no_link(room):
    calls = extracted(room)
    staging = staging_of(calls, room)
    opens = [call for call in calls if call.name in OPENS and any(path.startswith(staging) for path in call.paths)]
    paths = [path for call in opens if "O_CREAT" in call.flags for path in call.paths]
    made = {path.removeprefix(f"{staging}/") for path in paths if not TRIED.search(path)}
    assert made == {"manifest.json", "manifest.sig", *SAMPLE}
    assert [call for call in opens if "O_NOFOLLOW" not in call.flags] == []
    assert [call for call in opens if "O_CREAT" in call.flags and "O_EXCL" not in call.flags] == []


@pytest.mark.parametrize("bundle", REFUSED)
def test_of_a_refused_bundle_nothing_is_made_outside_the_staging_folder_and_nothing_is_left(bundle, room):
    (room.parent / "bundle").write_bytes(bundle())
    calls = extracted(room, expected=1)
    staging = staging_of(calls, room)
    assert {path for path in touched(calls) if path != staging and not path.startswith(f"{staging}/")} == set()
    assert staging in {path for call in calls if call.name in {"rmdir", "unlinkat"} for path in call.paths}
    assert names_in(room) == []


CHANGING_CALLS = """
import os, subprocess, sys, threading
room = sys.argv[1]
handle = os.open(room, os.O_RDONLY | os.O_DIRECTORY)
os.mkdir("folder", dir_fd=handle)
os.close(os.open("folder/../by handle", os.O_WRONLY | os.O_CREAT, dir_fd=handle))
os.rename(room + "/by handle", room + "/renamed")
os.link("renamed", "linked", src_dir_fd=handle, dst_dir_fd=handle)
os.symlink("/no/such/target", room + "/symbolic")
os.unlink("linked", dir_fd=handle)
os.truncate(room + "/renamed", 9)
os.fchmod(handle, 0o700)
thread = threading.Thread(target=lambda: open(room + "/\\u00edmynd \\"by\\" thread", "wb").close())
thread.start()
thread.join()
subprocess.run([sys.executable, "-c", f"open({room + '/by child'!r}, 'wb')"], check=True)
open("/dev/null", "wb").close()
try:
    open(room + "/folder", "wb")
except IsADirectoryError:
    pass
"""


def test_the_trace_shows_changes_by_path_by_handle_by_a_thread_and_by_a_child(room):
    calls = traced(room, "-c", CHANGING_CALLS, str(room))
    names = ["folder", "by handle", "renamed", "linked", "symbolic", 'ímynd "by" thread', "by child"]
    assert touched(calls) == {str(room), *(str(room / name) for name in names)}
    assert {call.name.removesuffix("2").removesuffix("at") for call in calls if call.changes} >= {
        "open", "mkdir", "rename", "link", "symlink", "unlink", "truncate", "fchmod",
    }  # fmt: skip
    assert [call for call in calls if call.changes and str(room / "folder") in call.paths and call.name in OPENS]


def test_a_call_interrupted_by_another_threads_is_joined():
    trace = (
        '7  openat(AT_FDCWD</a>, "b/c", O_WRONLY|O_CREAT <unfinished ...>\n'
        '8  mkdirat(5</a/d>, "e", 0750) = -1 EEXIST (File exists)\n'
        "7  <... openat resumed>, 0640) = 3</a/b/c>\n"
        '8  unlink("/f" <unfinished ...>\n8  +++ killed by SIGKILL +++\n'
    )
    found = [(call.name, call.paths) for call in calls_in(trace, ROOT)]
    assert found == [("mkdirat", ("/a/d/e",)), ("openat", ("/a/b/c",)), ("unlink", ("/f",))]
