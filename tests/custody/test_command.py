"""`verify_custody`: the stored chain and an exported one; exit 0 intact, 1 broken, 2 unreadable, never a traceback."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from custody import chain
from custody.models import Event
from foundation.principal import SYSTEM
from orchestrator_site.accounts.roles import assign_role

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and what was said."""
    said = io.StringIO()
    try:
        call_command("verify_custody", *arguments, stdout=said)
    except CommandError as error:
        return error.returncode, said.getvalue() + str(error)
    return 0, said.getvalue()


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Four events, and their export."""
    for number in range(4):
        chain.record(SYSTEM, "bundle.verify", "bundle", f"b-{number}")
    file = tmp_path / "custody.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in chain.export(Event.objects.order_by("sequence"))))
    return file


def test_an_intact_chain_exits_0_and_says_up_to_where(export):
    last = Event.objects.latest("sequence")
    for arguments in ((), ("--file", str(export))):
        code, said = run(*arguments)
        assert code == 0
        assert f"intact: 4 events, last #4 {last.hash}" in said


def test_the_report_can_be_had_as_json(export):
    code, said = run("--json")
    report = json.loads(said)
    assert (code, report["intact"], report["events"], report["fault"]) == (0, True, 4, "")


def test_a_stored_chain_that_was_tampered_with_exits_1_and_names_the_event(export):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM orchestrator_custody WHERE sequence = 3")
        cursor.execute("SET LOCAL session_replication_role = origin")
    code, said = run()
    assert code == 1
    assert "NOT intact after event #2" in said
    assert "event 3 is missing" in said
    assert run("--file", str(export))[0] == 0


def test_an_export_that_was_tampered_with_exits_1(export):
    lines = export.read_text().splitlines()
    export.write_text("\n".join([lines[0], lines[1].replace("b-1", "b-7"), *lines[2:]]))
    code, said = run("--file", str(export), "--json")
    assert code == 1
    assert '"last_sequence": 1' in said


UNREADABLE = {
    "no JSON": "{",
    "an array": "[]",
    "a number": "7",
    "deep nesting": "[" * 100_000,
    "not UTF-8": b"\xff\xfe",
    "a huge number": "9" * 5000,
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_is_no_export_exits_2(tmp_path, content):
    file = tmp_path / "x"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, said = run("--file", str(file))
    assert code == 2
    assert "cannot read the chain" in said


def test_a_file_that_is_not_there_exits_2(tmp_path):
    assert run("--file", str(tmp_path / "missing"))[0] == 2


def test_events_of_a_wrong_shape_exit_1(tmp_path):
    file = tmp_path / "x"
    file.write_text('{"sequence": 1, "previous_hash": "' + "0" * 64 + '"}\n')
    code, said = run("--file", str(file))
    assert code == 1
    assert "event 1" in said


@pytest.fixture
def viewer(client):
    user = User.objects.create_user("v", password="x" * 20)
    assign_role(user, "viewer")
    client.force_login(user)
    return client


def test_the_consoles_export_is_what_the_command_checks(export, viewer, tmp_path):
    file = tmp_path / "from-the-console"
    answer = viewer.get("/console/custody/export")
    assert answer.status_code == 200
    file.write_bytes(b"".join(answer.streaming_content))
    assert run("--file", str(file)) == run()


@pytest.mark.parametrize("until", ["9999-12-31", "0001-01-01", "no date"])
def test_a_filter_at_the_end_of_time_is_answered(export, viewer, until):
    assert viewer.get("/console/custody", {"until": until, "since": until}).status_code == 200
