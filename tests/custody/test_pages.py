"""The custody page: actions in words, one line for each thing done, dates in ISO form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from custody import actions, chain, folding
from custody.models import Event
from foundation.principal import SYSTEM
from tests.support import console_rows as rows

pytestmark = pytest.mark.django_db

BASE = Path(__file__).resolve().parents[2]
APPS = ("bundles", "custody", "incidents", "jobs", "orchestrator_site", "rehydration")
A_CODE = re.compile(
    r'"((?:bundle|upload|intake|incident|restore_request|signature|job|worker|token|user|list|custody|store)\.[a-z_]+)"'
)
# The names of operations, for idempotency keys, and of permissions and help look the same and are not recorded.
NOT_RECORDED = re.compile(r"operation=|require|may\(|needs|PERMISSION|has_perm|view_")


@pytest.fixture
def viewer() -> Client:
    client = Client()
    client.force_login(rows.user("viewer"))
    return client


def made(*, job: str, incident: str = "case-1") -> tuple[Event, Event]:
    """A bundle that was requested and made."""
    asked = chain.record(SYSTEM, "bundle.create", "job", job, incident_id=incident, outcome="requested")
    done = chain.record(SYSTEM, "bundle.published", "bundle", f"b-{job}", incident_id=incident, details={"job_id": job})
    return asked, done


def sequences(lines: list[folding.Line]) -> list[tuple[int, list[int]]]:
    return [(line.event.sequence, [request.sequence for request in line.requests]) for line in lines]


def test_every_action_that_the_code_records_has_words() -> None:
    found = set()
    for app in APPS:
        for file in (BASE / app).rglob("*.py"):
            if "migrations" in file.parts or file.name == "actions.py":
                continue
            for line in file.read_text(encoding="utf-8").splitlines():
                if not NOT_RECORDED.search(line):
                    found |= set(A_CODE.findall(line))
    assert found - actions.WORDS.keys() == set()
    assert actions.WORDS.keys() - found == set(), "nothing records these"


def test_an_action_from_elsewhere_is_its_code_as_a_sentence() -> None:
    assert actions.in_words("bundle.some_new_thing") == "Bundle some new thing"


def test_a_request_is_folded_under_its_outcome_and_only_when_there_is_one() -> None:
    job, open_job = str(uuid4()), str(uuid4())
    asked, done = made(job=job)
    waits = chain.record(SYSTEM, "bundle.create", "job", open_job, outcome="requested")
    cancel = chain.record(SYSTEM, "job.cancel", "job", job, outcome="requested")
    assert sequences(folding.lines(Event.objects.all(), Event.objects.all())) == [
        (cancel.sequence, []), (waits.sequence, []), (done.sequence, [asked.sequence]),
    ]  # fmt: skip


def test_a_list_of_the_requests_alone_shows_what_came_of_them() -> None:
    job = str(uuid4())
    asked, done = made(job=job)
    of_the_job = Event.objects.filter(object_type="job", object_id=job)
    for lines in (folding.lines(of_the_job), folding.lines(of_the_job, of_the_job)):
        assert sequences(lines) == [(done.sequence, [asked.sequence])]


def test_a_short_list_is_folded_without_a_query(django_assert_num_queries: Any) -> None:
    asked, done = made(job=str(uuid4()))
    waits = chain.record(SYSTEM, "bundle.create", "job", str(uuid4()), outcome="requested")
    with django_assert_num_queries(0):
        lines = folding.lines_within([waits, done, asked])
    assert sequences(lines) == [(waits.sequence, []), (done.sequence, [asked.sequence])]


def test_an_outcome_on_an_earlier_page_is_not_repeated_on_a_later_one() -> None:
    asked, done = made(job=str(uuid4()))
    assert sequences(folding.lines([asked], Event.objects.all())) == []
    assert sequences(folding.lines([done], Event.objects.all())) == [(done.sequence, [asked.sequence])]


def test_details_that_only_look_like_a_job_fold_nothing() -> None:
    job = str(uuid4())
    asked = chain.record(SYSTEM, "bundle.create", "job", job, outcome="requested")
    chain.record(SYSTEM, "bundle.upload", "upload", "u", details={"name": f'"job_id":"{job}"'})
    assert (asked.sequence, []) in sequences(folding.lines(Event.objects.all()))


MANY_EVENTS = """
INSERT INTO orchestrator_custody (sequence, at, actor, authenticated_by, address, action, object_type, object_id,
    incident_id, digest, outcome, details, previous_hash, hash)
SELECT n, now(), 'analyst', 'session', '', (ARRAY['bundle.create', 'bundle.verify', 'incident.restore'])[1 + n % 3],
    'job', gen_random_uuid()::text, '', '', 'requested', '{"job_id":"' || gen_random_uuid() || '"}',
    encode(sha256((n - 1)::text::bytea), 'hex'), encode(sha256(n::text::bytea), 'hex')
FROM generate_series(1, 3000) AS n
"""


def test_the_index_finds_the_events_of_a_job() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # the rows are no chain
        cursor.execute(MANY_EVENTS)
        cursor.execute("ANALYZE orchestrator_custody")
        cursor.execute("EXPLAIN " + folding.OF_JOBS, {"jobs": [str(uuid4())], "requests": sorted(folding.REQUESTS)})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "custody_job" in plan
    assert "custody_object" in plan


def test_the_page_shows_words_and_codes_one_line_a_bundle(viewer: Client, django_assert_max_num_queries: Any) -> None:
    for _ in range(3):
        made(job=str(uuid4()))
    job = str(uuid4())
    chain.record(SYSTEM, "bundle.verify", "bundle", "b", outcome="requested", details={"job_id": job})
    chain.record(SYSTEM, "bundle.verify_failed", "bundle", "b", outcome="file_hash_mismatch", details={"job_id": job})
    with django_assert_max_num_queries(12):
        text = viewer.get(reverse("custody-page")).content.decode()
    table = text[text.index("<tbody>") : text.index("</tbody>")]
    assert table.count("<tr>") == 4
    assert table.count("<summary>Requested</summary>") == 4
    for code in ("bundle.published", "bundle.verify_failed"):
        assert f'{actions.WORDS[code]}<span class="sub mono">{code}</span>' in table
    assert '<span class="sub mono">file_hash_mismatch</span>' in table


def test_actions_are_chosen_from_a_list_and_days_are_typed_in_iso_form(viewer: Client) -> None:
    made(job=str(uuid4()))
    text = viewer.get(reverse("custody-page") + "?action=bundle.published&since=2026-01-02").content.decode()
    assert '<option value="bundle.published" selected>Bundle made (bundle.published)</option>' in text
    assert '<option value="bundle.verify_failed">' in text
    assert 'type="date"' not in text
    assert 'value="2026-01-02"' in text
    wrong = viewer.get(reverse("custody-page") + "?since=01/02/2026").content.decode()
    assert "YYYY-MM-DD." in wrong
    unknown = viewer.get(reverse("custody-page") + "?action=old.thing").content.decode()
    assert '<option value="old.thing" selected>' in unknown
    assert "No event matches" in unknown


def test_the_csv_keeps_the_codes_and_every_event(viewer: Client) -> None:
    made(job=str(uuid4()))
    lines = viewer.get(reverse("custody-csv")).getvalue().decode().splitlines()
    assert sum("bundle.create" in line for line in lines) == 1
    assert sum("bundle.published" in line for line in lines) == 1
