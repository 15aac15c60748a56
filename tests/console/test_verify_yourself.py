"""The lines that a bundle's page prints are run as they stand there, in a shell, on what the page lets one download.

They must hold on a sound bundle, whatever its files are called, and fail on every other.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from bundles.console import offline_check
from bundles.models import Bundle, Manifest
from orchestrator_site.configuration.env import BASE_DIR
from tests.support import console_rows as rows
from tests.support.console_evidence import evidence, text_of
from tests.support.console_rows import signed_in
from tests.support.format_builders import signer
from tests.support.main_job import bundle, change_a_byte
from tests.support.upstreams import says

__all__ = ["evidence"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("evidence")]
HOLDS = "Every check holds."


class Printed(HTMLParser):
    """The text of each `pre` that has an id, as a reader sees and copies it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.blocks: dict[str, str] = {}
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "pre":
            self._open = dict(attrs).get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.blocks[self._open] = self.blocks.get(self._open, "") + data


class Desk:
    """A folder with the downloaded bundle and key, and the lines of its page."""

    def __init__(self, folder: Path, made: Bundle) -> None:
        self.folder = folder
        client = signed_in("analyst")
        self.lines = Printed(text_of(client.get(reverse("bundle-page", args=[made.bundle_id])))).blocks
        sent: Any = client.get(reverse("bundle-download", args=[made.bundle_id]))
        self.bundle = folder / made.name
        self.bundle.write_bytes(b"".join(sent.streaming_content))
        key = client.get(reverse("bundle-key", args=[made.bundle_id]))
        name = re.search(r'filename="(.+)"', key["Content-Disposition"])
        assert name is not None
        self.key = folder / name[1]
        self.key.write_bytes(key.content)
        (folder / "tools").symlink_to(BASE_DIR / "tools")

    def run(self, block: str, interpreter: str = "bash") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(
            [interpreter, "-c", self.lines[block]], cwd=self.folder, env=environment, check=False, capture_output=True,
            text=True,
        )  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Callable[[Bundle], Desk]:
    (tmp_path / "desk").mkdir()
    return lambda made: Desk(tmp_path / "desk", made)


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
@pytest.mark.parametrize("incident", ["plain", "hard"])
def test_the_printed_lines_hold_on_a_sound_bundle(desk, incident: str, compression: str) -> None:
    at = desk(bundle(incident, compression=compression))
    checked = at.run("own-program")
    assert (checked.returncode, "verified" in checked.stdout.lower()) == (0, True), checked.stderr
    by_hand = at.run("own-by-hand")
    assert by_hand.returncode == 0, by_hand.stderr
    assert by_hand.stdout.splitlines()[-1] == HOLDS
    assert "Verified OK" in by_hand.stdout
    assert not list(at.folder.rglob("owned")), "a name of evidence was read by the shell"


def test_they_run_in_a_plain_posix_shell(desk) -> None:
    assert HOLDS in desk(bundle("hard")).run("own-by-hand", interpreter="sh").stdout


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_they_fail_on_a_changed_byte(desk, place: float) -> None:
    at = desk(bundle("hard"))
    change_a_byte(at.bundle, int(place * at.bundle.stat().st_size))
    for block in ("own-program", "own-by-hand"):
        ended = at.run(block)
        assert ended.returncode != 0
        assert HOLDS not in ended.stdout


def unbelieving(at: Desk) -> None:
    """Take out the line that knows the file's own digest: what is left must find every fault by the signature."""
    first, rest = at.lines["own-by-hand"].split(" &&\n", 1)
    assert "sha256sum <" in first
    at.lines["own-by-hand"] = f"({rest}"


@pytest.mark.parametrize("deed", ["content", "manifest", "extra", "renamed", "removed"])
def test_they_fail_on_what_was_packed_again_with_a_change(desk, tmp_path: Path, deed: str) -> None:
    at = desk(bundle("hard"))
    unbelieving(at)
    inside = tmp_path / "inside"
    inside.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", at.bundle, "-C", inside], check=True)
    first = next(path for path in sorted(inside.rglob("*")) if path.name == "plain.bin")
    if deed == "content":
        first.write_bytes(first.read_bytes()[:-1] + b"x")
    elif deed == "manifest":
        manifest = inside / "manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b'"incident_id":"hard"', b'"incident_id":"hart"'))
    elif deed == "extra":
        (inside / "artifacts" / "more.txt").write_text("slipped in")
    elif deed == "renamed":
        first.rename(first.with_name("other.bin"))
    else:
        first.unlink()
    subprocess.run(["tar", "--zstd", "-cf", at.bundle, "-C", inside, "."], check=True)
    ended = at.run("own-by-hand")
    assert ended.returncode != 0
    assert HOLDS not in ended.stdout


def test_the_same_repacked_without_a_change_still_holds_by_its_signature(desk, tmp_path: Path) -> None:
    """So the cases above fail for their change, not for having been packed again."""
    at = desk(bundle("hard"))
    unbelieving(at)
    (tmp_path / "inside").mkdir()
    subprocess.run(["tar", "--zstd", "-xf", at.bundle, "-C", tmp_path / "inside"], check=True)
    subprocess.run(["tar", "--zstd", "-cf", at.bundle, "-C", tmp_path / "inside", "."], check=True)
    assert at.run("own-by-hand").stdout.splitlines()[-1] == HOLDS


def test_a_partial_bundle_is_told_to_whoever_checks_it(desk, evidence) -> None:
    evidence.answers["forensic"] = says({}, 503)
    at = desk(bundle("plain", allow_partial=True))
    assert "It is partial" in at.run("own-by-hand").stdout


def test_they_fail_with_another_key(desk) -> None:
    at = desk(bundle("plain"))
    at.key.write_bytes(signer("other").public_pem)
    assert at.run("own-program").returncode != 0
    by_hand = at.run("own-by-hand")
    assert (by_hand.returncode != 0, HOLDS in by_hand.stdout) == (True, False)


def test_the_readers_shell_stays_where_it_was(desk) -> None:
    at = desk(bundle("plain"))
    at.lines["own-by-hand"] += "\npwd"
    assert at.run("own-by-hand").stdout.splitlines()[-1] == str(at.folder)


@pytest.mark.parametrize("name", ["-rf", "a b'c$(touch owned)`id`;&|.tar.zst", '"quoted" \\ <b>.tar.zst', rows.HOSTILE])
def test_a_hostile_name_of_the_bundle_itself_is_one_word_to_the_shell(tmp_path: Path, name: str) -> None:
    made = rows.bundle(name=name.replace("/", "_"))
    Manifest.objects.create(bundle=made, raw=b'{"files":[]}')
    lines = offline_check.commands_for(made, [], "https://example.org")
    folder = tmp_path / "words"
    folder.mkdir()
    word = subprocess.run(
        ["bash", "-c", lines.program.replace("python3 tools/verify_bundle.py", "printf '%s\\n'")],
        cwd=folder, check=True, capture_output=True,
    ).stdout.decode()  # fmt: skip
    told = word.rsplit("\n--key\n", 1)[0]
    assert told in {made.name, f"./{made.name}"}
    assert not told.startswith("-")
    assert list(folder.iterdir()) == []
    page = text_of(signed_in("viewer").get(reverse("bundle-page", args=[made.bundle_id])))
    assert "<script>alert(1)" not in page
