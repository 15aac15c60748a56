"""The search finds events and alerts by what they contain, grouped by incident, and says what it did not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bundles.models import Bundle, KeptTimeline
from foundation.principal import SYSTEM, Principal
from incidents.search import records, search
from incidents.search.elsewhere import seen_elsewhere
from tests.console.test_search import told
from tests.support import console_rows as rows
from tests.support import timeline_rows
from tests.support.console_rows import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

MD5 = "0123456789abcdef" * 2
SHA256 = "0123456789abcdef" * 4
COMMAND = "C:\\Windows\\System32\\rundll32.exe C:\\Temp\\evil.dll,Start"


def event(**fields: Any) -> dict[str, Any]:
    made = {
        "timestamp": "2026-01-12T08:00:00Z",
        "title": "Process created",
        "hostname": "DC01.corp.local",
        "username": "CORP\\svc-backup",
        "source": "10.0.0.5",
        "process": {"command_line": COMMAND, "hashes": f"MD5={MD5},SHA256={SHA256.upper()}"},
        "mitre_technique": "T1059.001",
    }
    return {**made, **fields}


@pytest.fixture
def analyst() -> Client:
    return signed_in("analyst")


@pytest.mark.parametrize(
    "text",
    [
        "dc01.corp.local", "DC01", "corp.local", "svc-backup", "corp\\svc-backup", "10.0.0.5", "10.0.0", SHA256, MD5,
        "windows\\system32\\rundll32.exe", "rundll", "evil.dll start", "T1059", "T1059.001", "process dc01",
    ],
)  # fmt: skip
def test_an_event_is_found_by_host_account_address_hash_command_line_or_technique(text: str, tmp_path: Path) -> None:
    timeline_rows.kept(tmp_path, [event()])
    [group] = search.search(SYSTEM, text).groups
    assert (group.incident_id, group.events, group.alerts) == (rows.INCIDENT, search.Count(1), search.Count(0))


@pytest.mark.parametrize("text", ["dc01 nothing", "local.corp", "10.0.0.6", "10.0.0.50", "0.0.5.10", SHA256[1:], "c01"])
def test_all_words_must_be_there_in_order_and_from_their_beginning(text: str, tmp_path: Path) -> None:
    timeline_rows.kept(tmp_path, [event()])
    assert search.search(SYSTEM, text).is_empty


def test_of_several_words_the_last_may_lack_its_end_only_if_nothing_has_them_whole(tmp_path: Path) -> None:
    timeline_rows.kept(tmp_path, [event(note="run tool"), event(note="run toolbox")])
    assert search.search(SYSTEM, "run tool").groups[0].events == search.Count(1)
    assert search.search(SYSTEM, "run too").groups[0].events == search.Count(2)


def test_the_page_shows_the_matching_words_marked_and_links_to_them_in_the_incident(
    analyst: Client, tmp_path: Path
) -> None:
    alert = {"id": "1", "title": "Tool run", "description": "RUNDLL32 was run"}
    timeline_rows.kept(tmp_path, [event()] * 5, alerts=[alert])
    page = told(analyst, "rundll32")
    assert "<b>5</b> events" in page
    assert "<b>1</b> alert" in page
    assert page.count('<span class="kind">Event</span>') == search.ROWS_SHOWN
    assert "C:\\Windows\\System32\\<mark>rundll32</mark>.exe" in page
    assert "<mark>RUNDLL32</mark> was run" in page
    assert f"{reverse('incident-page', args=[rows.INCIDENT])}?kind=all&amp;text=rundll32&amp;origin=bundle" in page
    assert 'datetime="2026-01-12T08:00:00' in page


def test_hostile_text_of_a_record_is_shown_as_text(analyst: Client, tmp_path: Path) -> None:
    timeline_rows.kept(tmp_path, [event(title=f"needle {rows.HOSTILE}", note=f"<b>needle</b>{rows.HOSTILE}")])
    page = told(analyst, "needle")
    assert "<script>alert(1)" not in page
    assert "&lt;b&gt;<mark>needle</mark>&lt;/b&gt;" in page
    for sign in ("⟨U+202E⟩", "⟨U+001B⟩", "⟨U+200B⟩"):
        assert sign in page


def test_every_incident_with_a_host_is_one_group(analyst: Client, tmp_path: Path) -> None:
    for number in range(4):
        host = "web-1.corp.local" if number else "web-2.corp.local"
        timeline_rows.kept(tmp_path / str(number), [event(hostname=host)], incident_id=f"case-{number}")
    page = told(analyst, "web-1.corp.local")
    assert [number for number in range(4) if f"in-case-{number}" in page] == [1, 2, 3]


def test_what_was_bundled_and_restored_counts_once_and_by_permission(tmp_path: Path) -> None:
    timeline_rows.kept(tmp_path, [event()])
    kept = KeptTimeline.objects.get()
    assert search.search(SYSTEM, "rundll32").groups[0].events == search.Count(1)
    KeptTimeline.objects.filter(pk=kept.pk).update(origin=KeptTimeline.Origin.RESTORED)
    may_see_bundles = Principal(name="x", authenticated_by="token", permissions=frozenset({"bundles.view_bundle"}))
    assert search.search(may_see_bundles, "rundll32").is_empty
    timeline_rows.kept(tmp_path / "again", [event(), event()])
    [group] = search.search(SYSTEM, "rundll32").groups
    assert (group.origin, group.events) == ("bundle", search.Count(2))


def test_of_a_frequent_word_the_other_incidents_are_named_and_counts_are_the_least(
    analyst: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_READ", 3)
    monkeypatch.setattr(records, "OTHERS_WITHIN_MS", 20_000)
    for number in range(3):
        timeline_rows.kept(tmp_path / str(number), [event()] * 5, incident_id=f"case-{number}")
    found = search.search(SYSTEM, "rundll32")
    named = [*(group.incident_id for group in found.groups), *found.others]
    assert sorted(named) == ["case-0", "case-1", "case-2"]
    assert found.is_complete
    assert all(group.events.at_least for group in found.groups)
    assert "at least <b>" in told(analyst, "rundll32")


def test_a_search_for_the_other_incidents_that_takes_too_long_says_that_some_may_be_missing(
    analyst: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_READ", 3)
    monkeypatch.setattr(records, "_OTHERS", "SELECT pg_sleep(60)")
    timeline_rows.kept(tmp_path, [event()] * 5)
    page = told(analyst, "rundll32")
    assert "More matches than one search reads" in page
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        ((limit,),) = cursor.fetchall()
    assert limit != f"{records.OTHERS_WITHIN_MS}ms"


def test_bundles_that_were_not_read_are_said_and_one_action_reads_them(analyst: Client, tmp_path: Path) -> None:
    timeline_rows.kept(tmp_path, [event()])
    assert "cannot be searched yet" not in told(analyst, "nothing of it")
    unread = [rows.bundle(), rows.bundle()]
    page = told(analyst, "nothing of it")
    assert "The events and alerts of 2 bundles cannot be searched yet" in page
    address = f"{reverse('bundles-batch')}?scope=matching&verdict=unread"
    assert address.replace("&", "&amp;") in page
    assert address.replace("&", "&amp;") not in told(signed_in("viewer"), "nothing of it")
    preview = analyst.get(address).content.decode()
    assert all(one.name in preview for one in unread)
    assert Bundle.objects.exclude(counts__isnull=True).get().name not in preview


def test_a_search_needs_few_queries_whatever_it_finds(analyst: Client, tmp_path: Path) -> None:
    for number in range(12):
        made = timeline_rows.kept(
            tmp_path / str(number), [event(), event()], artifacts=["rundll32.exe"], incident_id=f"rundll32-{number}"
        )
        rows.in_bundle(made, "rundll32.exe")
    with CaptureQueriesContext(connection) as caught:
        told(analyst, "rundll32")
    assert len(caught) <= 12, "\n".join(one["sql"][:150] for one in caught.captured_queries)


def test_hashes_and_addresses_of_other_incidents_are_seen_elsewhere_most_first(tmp_path: Path) -> None:
    timeline_rows.kept(tmp_path / "a", [event(source="203.0.113.7", note="198.51.100.1")], incident_id="a")
    timeline_rows.kept(tmp_path / "b", [event(source="203.0.113.7", process={})], incident_id="b")
    alert = {"id": "1", "source": "203.0.113.7:443", "title": SHA256.upper()}
    timeline_rows.kept(tmp_path / "c", [event(source="192.0.2.9", process={})], alerts=[alert], incident_id="c")
    found = [(one.value, one.kind, one.incidents, one.first) for one in seen_elsewhere(SYSTEM, "a")]
    assert found == [("203.0.113.7", "address", 2, ("b", "c")), (SHA256, "hash", 1, ("c",))]
    page = signed_in("viewer").get(reverse("incident-elsewhere", args=["a"])).content.decode()
    assert "203.0.113.7" in page
    assert reverse("incident-page", args=["c"]) in page
    KeptTimeline.objects.filter(incident_id="c").delete()
    assert [one.incidents for one in seen_elsewhere(SYSTEM, "a")] == [1]
