"""The lists of the console: filters in the address, keyset pages, and CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from custody import chain
from custody.models import Event
from foundation import csv_export
from foundation.principal import SYSTEM
from jobs.models import Job
from orchestrator_site.errors import catalogue
from tests.support import console_rows as rows
from tests.support.console_rows import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

LISTS = ("jobs", "bundles", "incidents", "custody", "workers")


@pytest.fixture
def viewer() -> Client:
    return signed_in("viewer")


def table(client: Client, name: str, query: str = "") -> list[dict[str, str]]:
    answer = client.get(reverse(f"{name}-csv") + query)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode(), newline="")))


def shown(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def following(text: str) -> str:
    """The address of the next page, as the list links it."""
    found = re.search(r'href="(\?[^"]*)" rel="next"', text)
    assert found
    return found[1].replace("&amp;", "&")


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u200b=1", "＝1"])  # noqa: RUF001
def test_a_text_that_a_spreadsheet_would_run_is_prefixed(value: str) -> None:
    assert str(csv_export.cell(value)).startswith("'")


def test_text_numbers_times_and_nothing_become_plain_cells() -> None:
    moment = timezone.now().replace(microsecond=5)
    assert csv_export.cell("incident-1") == "incident-1"
    assert csv_export.cell(-100) == -100
    assert csv_export.cell(None) == ""
    assert (csv_export.cell(True), csv_export.cell(False)) == ("yes", "no")
    assert csv_export.cell(moment) == moment.strftime("%Y-%m-%dT%H:%M:%S.000005Z")


def test_characters_that_hide_reorder_or_break_lines_become_their_numbers() -> None:
    told = csv_export.cell("a\r\nb\u202ec\x1b[31m\x00\u2028")
    assert told == "a⟨U+000D⟩⟨U+000A⟩b⟨U+202E⟩c⟨U+001B⟩[31m⟨U+0000⟩⟨U+2028⟩"
    assert len(str(csv_export.cell("x" * 40_000))) == csv_export.MOST_CELL_CHARS


def test_a_list_that_is_cut_says_so_in_its_last_row() -> None:
    answer = csv_export.download("jobs", ("n",), ([n] for n in range(1000)), most=250)
    lines = answer.getvalue().decode().splitlines()
    assert lines[:2] == ["n", "0"]
    assert lines[250] == "249"
    assert lines[251].startswith("CUT: only the first 250 rows")
    assert len(lines) == 252


def test_rows_are_read_while_they_are_sent() -> None:
    read: list[int] = []

    def numbers() -> Any:
        for number in range(10_000):
            read.append(number)
            yield [number]

    pieces = iter(csv_export.download("jobs", ("n",), numbers()))
    next(pieces)
    next(pieces)
    assert len(read) < 1000


@pytest.mark.parametrize("name", LISTS)
def test_each_list_is_exported_under_a_safe_name_even_when_it_is_empty(viewer: Client, name: str) -> None:
    answer = viewer.get(reverse(f"{name}-csv"))
    assert re.fullmatch(rf'attachment; filename="{name}_\d{{8}}_\d{{6}}\.csv"', answer["Content-Disposition"])
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"
    lines = answer.getvalue().decode().splitlines()
    assert lines[0].count(",") > 5
    assert viewer.head(reverse(f"{name}-csv")).status_code == 405


def test_hostile_names_leave_the_console_as_harmless_text(viewer: Client) -> None:
    rows.job("failed", error_message="=cmd|'/c calc'!A1", requested_by=rows.HOSTILE)
    chain.record(SYSTEM, "job.cancel", "job", "-2+3", incident_id=rows.HOSTILE)
    (job,) = table(viewer, "jobs")
    assert job["error_message"] == "'=cmd|'/c calc'!A1"
    assert "⟨U+202E⟩" in job["asked_by"]
    assert "⟨U+000D⟩⟨U+000A⟩Set-Cookie" in job["asked_by"]
    assert "'-2+3" in {event["object_id"] for event in table(viewer, "custody")}
    raw = viewer.get(reverse("jobs-csv")).getvalue().decode()
    assert raw.count("\r\n") == 2, "one line of names and one row"


def test_the_export_holds_the_filtered_list_over_all_its_pages(viewer: Client) -> None:
    now = timezone.now()
    Job.objects.bulk_create(
        Job(job_type="bundle_create", incident_id="many", created_at=now - timedelta(seconds=at), run_after=now)
        for at in range(520)
    )
    rows.job(incident_id="other")
    found = table(viewer, "jobs", "?incident_id=many&status=queued")
    assert len(found) == 520
    assert {row["incident_id"] for row in found} == {"many"}
    times = [row["asked_at"] for row in found]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("name", ["jobs", "bundles", "incidents", "custody"])
def test_who_exports_a_list_of_evidence_is_in_custody_with_the_filter(viewer: Client, name: str) -> None:
    query = "?search=x" if name == "incidents" else "?incident=x" if name == "custody" else "?incident_id=x"
    viewer.get(reverse(f"{name}-csv") + query)
    event = Event.objects.get(action="list.export")
    assert (event.object_type, event.object_id) == ("list", name)
    assert event.actor.startswith("viewer-")
    assert '"x"' in event.details


def test_a_list_of_workers_tells_of_no_evidence_and_leaves_no_event(viewer: Client) -> None:
    rows.worker()
    assert table(viewer, "workers")[0]["host"] == "host-a"
    assert not Event.objects.filter(action="list.export").exists()


@pytest.mark.parametrize("name", LISTS)
def test_whoever_may_not_see_a_list_gets_no_export_of_it(name: str) -> None:
    answer = signed_in("").get(reverse(f"{name}-csv"))
    assert answer.status_code == 403
    assert not Event.objects.exists()


def test_a_forged_cursor_cannot_be_smuggled_into_an_export(viewer: Client) -> None:
    rows.job()
    assert len(table(viewer, "jobs", "?cursor=!!")) == 1


def test_stuck_jobs_are_paged_and_narrowed_like_all_others(viewer: Client) -> None:
    for at in range(53):
        rows.job("processing", lease_s=-60 - at, incident_id="silent")
    rows.job("processing", lease_s=-9, incident_id="another")
    first = shown(viewer, reverse("jobs-page") + "?status=stuck&incident_id=silent")
    assert first.count("Stuck</span>") == 50
    second = shown(viewer, reverse("jobs-page") + following(first))
    assert second.count("Stuck</span>") == 3
    assert "another" not in first + second
    assert len(table(viewer, "jobs", "?status=stuck&incident_id=silent")) == 53
    assert {row["state"] for row in table(viewer, "jobs", "?status=stuck")} == {"stuck"}


def test_bundles_are_filtered_by_what_is_known_of_them(viewer: Client) -> None:
    good, bad, partial = (
        rows.bundle("good"),
        rows.bundle("bad"),
        rows.bundle("part", complete=False, missing=[{"a": 1}]),
    )
    rows.verification(good)
    rows.verification(bad, ok=False)
    for verdict, wanted in (
        ("verified", {"good"}), ("failed", {"bad"}), ("unverified", {"part"}), ("partial", {"part"}), ("odd", None),
    ):  # fmt: skip
        found = {row["incident_id"] for row in table(viewer, "bundles", f"?verdict={verdict}")}
        assert found == (wanted or {"good", "bad", "part"})
    text = shown(viewer, reverse("bundles-page") + "?verdict=partial")
    assert partial.name in text
    assert good.name not in text
    assert 'value="partial" selected' in text


def test_workers_are_filtered_and_paged(viewer: Client) -> None:
    for at in range(52):
        rows.worker(f"host-b/{at}", host="host-b", pid=at)
    rows.worker("host-c/1", host="host-c", state="busy")
    rows.worker("host-d/1", host="host-d", silent_s=40)
    rows.worker("host-e/1", host="host-e", state="stopped")
    first = shown(viewer, reverse("workers-page") + "?host=host-b")
    second = shown(viewer, reverse("workers-page") + following(first))
    assert first.count("host-b</bdi>") == 50
    assert second.count("host-b</bdi>") == 2
    for state, host in (("busy", "host-c"), ("silent", "host-d"), ("gone", "host-e")):
        assert {row["host"] for row in table(viewer, "workers", f"?state={state}")} == {host}


def test_every_list_keeps_its_filter_on_the_next_page_and_in_the_export_link(viewer: Client) -> None:
    for _ in range(51):
        rows.bundle("kept")
        rows.job(incident_id="kept")
        chain.record(SYSTEM, "bundle.create", "job", "x", incident_id="kept")
    for name, query in (("jobs", "incident_id=kept"), ("bundles", "incident_id=kept"), ("custody", "incident=kept")):
        text = shown(viewer, reverse(f"{name}-page") + f"?{query}")
        assert query in following(text)
        assert f'href="{reverse(f"{name}-csv")}?{query}"' in text
        assert "kept" in shown(viewer, reverse(f"{name}-page") + following(text))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("jobs", "The first appears here when you bundle an incident."),
        ("bundles", "Bundle an incident, or upload a bundle"),
        ("incidents", "once it is bundled or restored"),
        ("custody", "is recorded here"),
        ("workers", "run_orch_worker"),
    ],
)
def test_an_empty_list_says_how_to_fill_it(viewer: Client, name: str, words: str) -> None:
    assert words in shown(viewer, reverse(f"{name}-page"))


def headings(text: str) -> list[str]:
    return [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", text)]


def test_a_column_of_jobs_without_any_value_is_left_out(viewer: Client) -> None:
    rows.job("queued", incident_id="")
    assert headings(shown(viewer, reverse("jobs-page"))) == ["State", "Job", "Priority", "Requested"]
    rows.job("processing")
    assert headings(shown(viewer, reverse("jobs-page"))) == [
        "State", "Job", "Incident", "Progress or result", "Took", "Priority", "Attempts", "Requested",
    ]  # fmt: skip


def test_the_result_or_the_error_of_a_job_is_in_words(viewer: Client) -> None:
    rows.job("completed", result={"files": 1_208, "complete": False})
    rows.job("completed", job_type="bundle_verify", result={"report": {"verified": False}})
    rows.job("completed", job_type="rehydrate", result={"dry_run": False, "changed": True})
    rows.job("queued", waits_for="sources")
    failed = rows.job("failed")
    text = shown(viewer, reverse("jobs-page"))
    words = ("Partial bundle of 1,208 files", "Not verified", "Restored", "waits until the sources answer")
    for said in (*words, catalogue.advice_for(failed).title, "3 min 0 s"):
        assert said in text
