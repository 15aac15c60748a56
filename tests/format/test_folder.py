"""A folder is bundled completely and for its own incident, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundles.format.cli.cli import main
from bundles.format.model.errors import CannotWriteError
from bundles.format.writing.folder import folder_payloads
from tests.support.format_builders import signer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder laid out as the incident `inc`."""
    made = tmp_path / "inc"
    (made / "artifacts/a1").mkdir(parents=True)
    (made / "artifacts/a1/e.bin").write_bytes(b"evidence")
    write(made, timeline={"incident_id": "inc", "events": []}, alerts=[])
    return made


def write(folder: Path, **members: Any) -> None:
    for name, value in members.items():
        (folder / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))


def refusal(folder: Path, incident_id: str = "inc") -> str:
    staging = folder.parent / "staging"
    staging.mkdir()
    with pytest.raises(CannotWriteError) as caught:
        folder_payloads(folder, incident_id, staging, any_folder=False)
    assert caught.value.code == "input_invalid"
    return caught.value.detail


def test_files_beside_the_layout_are_refused_by_their_paths(folder):
    (folder / "notes/more").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in ("chain_of_custody.txt", "notes/more/day1.md", "iocs.json", ".hidden"):
        (folder / name).write_text("x")
    (folder / "link").symlink_to("/etc/passwd")
    named = refusal(folder)
    for path in ("chain_of_custody.txt", "notes/more/day1.md", "iocs.json", ".hidden", "empty/", "link"):
        assert repr(path) in named


def test_many_files_beside_the_layout_are_counted(folder):
    for number in range(25):
        (folder / f"{number:02}.txt").write_text("x")
    assert "'19.txt' and 5 more" in refusal(folder)


def test_an_artifact_folder_without_a_file_is_refused(folder):
    (folder / "artifacts/a2").mkdir()
    assert "'artifacts/a2/'" in refusal(folder)


@pytest.mark.parametrize(
    "members",
    [
        {"timeline": {"incident_id": "other", "events": []}},
        {"timeline": {"timeline": {"incident_id": "other", "events": []}}},
        {"timeline": {"incident_id": 5, "events": []}},
        {"alerts": [{"id": 1}, {"id": 2, "correlation_id": "other"}]},
        {"artifacts": [{"artifact_id": "a1", "incident_id": "other"}]},
    ],
    ids=["timeline", "timeline in an envelope", "an id that is no text", "an alert", "an artifact"],
)
def test_records_of_another_incident_are_refused_and_both_ids_are_named(folder, members):
    write(folder, **members)
    named = refusal(folder)
    assert "'inc'" in named
    assert ("'other'" in named) or ("'5'" in named)


@pytest.mark.parametrize("name", ["timeline.json", "alerts.json"])
def test_a_member_that_is_not_there_is_named(folder, name):
    (folder / name).unlink()
    assert f"{name} is missing" in refusal(folder)


def test_the_command_refuses_and_leaves_nothing(folder, tmp_path, capsys):
    key = tmp_path / "key.pem"
    key.write_bytes(signer().pem)
    key.chmod(0o600)
    (folder / "more.txt").write_text("x")
    room = tmp_path / "room"
    room.mkdir()
    usual = ["create", str(folder), "--key", str(key), "-o", str(room)]
    assert main([*usual, "--incident-id", "inc"]) == 1
    assert "more.txt" in capsys.readouterr().err
    (folder / "more.txt").unlink()
    assert main([*usual, "--incident-id", "other"]) == 1
    said = capsys.readouterr().err
    assert "'inc'" in said
    assert "'other'" in said
    assert list(room.iterdir()) == []
    assert main([*usual, "--incident-id", "inc"]) == 0
