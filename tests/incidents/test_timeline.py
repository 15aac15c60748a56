"""The kill chain of an incident: read from the evidence, drawn on the server, listed, narrowed; every event counted."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from bundles.models import Bundle, IndexedRecord
from bundles.samples import incident
from bundles.timelines import record_index
from bundles.timelines.severities import SEVERITIES
from bundles.timelines.span import MARKS
from incidents.timeline import drawing, record_query
from incidents.timeline.filters import Filter, FilterForm
from tests.console.test_pages import MOST_QUERIES, shown
from tests.support import console_rows as rows
from tests.support import timeline_rows as timelines
from tests.support.console_rows import signed_in
from tests.support.timeline_rows import event, kept

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

PAGE = f"/console/incidents/{rows.INCIDENT}"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "incidents"


@pytest.fixture
def operator() -> Client:
    return signed_in("operator")


def marks(text: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'<a href="([^"]+)" aria-label="[^"]*"><title>', text)]


def labels(text: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'aria-label="(\d[^"]* events?, [^"]*)"', text)]


def asked(**fields: str) -> Filter:
    form = FilterForm(fields)
    wanted = form.filter()
    assert not form.errors
    return wanted


def counted(gathered: record_query.Gathered) -> tuple[int, int, int]:
    """Clusters and undated added up, in three ways."""
    clusters = sum(cluster.records for lane in gathered.lanes for cluster in lane.dated)
    severities = sum(sum(cluster.severities.values()) for lane in gathered.lanes for cluster in lane.dated)
    return clusters + gathered.undated, gathered.records, severities + gathered.undated


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"severity": "high+"},
        {"severity": "low"},
        {"phase": "impact"},
        {"phase": "unassigned"},
        {"text": "HOST-3"},
        {"text": "100%_"},
        {"from": "2026-01-12 08:30"},
        {"to": "2026-01-12 09:00"},
        {"from": "2026-01-12 08:30", "to": "2026-01-12 08:45", "severity": "medium+", "text": "share"},
        {"from": "1999-01-01", "to": "2000-01-01"},
        {"from": "2030-01-01"},
    ],
)
def test_the_drawing_and_the_table_let_the_same_events_through(tmp_path: Path, given: dict[str, str]) -> None:
    odd = [event(n, timestamp="whenever", metadata={}) for n in range(5)]
    kept(tmp_path / "t", [*timelines.events(600), *odd])
    timeline, wanted = timelines.timeline(), asked(**given)
    expected = IndexedRecord.objects.filter(wanted.condition(), timeline=timeline).count()
    assert set(counted(record_query.gather(timeline, wanted))) == {expected}
    listed, cursor = [], ""
    while True:
        page = record_query.records_page(timeline, wanted, "event", cursor)
        listed += [(point.at_us, point.position) for point in page.items]
        cursor = page.next
        if not cursor:
            break
    assert len(listed) == expected
    assert listed == sorted(set(listed))


def test_of_a_filter_that_very_many_match_the_first_are_drawn_and_the_page_says_so(
    operator: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_query, "MOST_MATCHES", 40)
    kept(tmp_path / "t", [*timelines.events(300), event(0, timestamp="whenever")])
    timeline = timelines.timeline()
    for given in ({"host": "host-3"}, {"host": "host-3", "from": "2026-01-12 08:10"}, {"technique": "T1078"}):
        wanted = asked(**given)
        first = IndexedRecord.objects.filter(wanted.condition(), timeline=timeline)[:41]
        gathered = record_query.gather(timeline, wanted)
        assert gathered.is_cut
        assert set(counted(gathered)) == {40}
        assert gathered.axis.end_us == first[39].at_us
    few = record_query.gather(timeline, asked(host="host-3", severity="critical"))
    assert not few.is_cut
    assert set(counted(few)) == {
        IndexedRecord.objects.filter(asked(host="host-3", severity="critical").condition()).count()
    }
    text = shown(operator, f"{PAGE}?host=host-3")
    assert "More than 40 records match" in text
    [rest] = re.findall(r'href="([^"]+)">Show what follows', text)
    assert "from=2026-01-12T" in rest
    assert "More than" not in shown(operator, f"{PAGE}?host=host-3&severity=critical")


def test_every_mark_leads_to_exactly_its_own_events(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", timelines.events(700))
    text = shown(operator, PAGE)
    assert len(marks(text)) == len(labels(text)) > 20
    total = 0
    for href, label in zip(marks(text), labels(text), strict=True):
        query = {name: values[0] for name, values in parse_qs(urlsplit(href).query).items() if name != "origin"}
        inside = record_query.gather(timelines.timeline(), asked(**query))
        assert inside.records == int(label.split()[0].replace(",", ""))
        assert [lane.phase for lane in inside.lanes] == [query["phase"]]
        total += inside.records
    assert total == 700


def test_zooming_comes_to_an_end_at_the_events_themselves(operator: Client, tmp_path: Path) -> None:
    same = [event(0, metadata={"tactic": "impact"}) for _ in range(30)]
    kept(tmp_path / "t", [*same, event(5000, metadata={"tactic": "impact"})])
    address, seen = PAGE, []
    for _ in range(12):
        href = marks(shown(operator, address))[0]
        if href in seen:
            break
        seen.append(href)
        address = PAGE + href.split("#")[0]
    text = shown(operator, address)
    assert seen[-1].endswith("#records")
    assert "<b>30</b> of 31 events, 1 hidden by the filter" in text


def test_a_zoomed_page_leads_out_and_back(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", timelines.events(700))
    address = PAGE + "?phase=impact&from=2026-01-12+08:30&to=2026-01-12+08:40&severity=high%2B&text=host"
    text = shown(operator, address)
    for words in ("Zoom out", "All phases", "Back to all 700 events"):
        assert words in text
    out = unescape(re.findall(r'<a href="([^"]+)">Zoom out', text)[0])
    query = {name: values[0] for name, values in parse_qs(urlsplit(out).query).items() if name != "origin"}
    narrow = {"phase": "impact", "from": "2026-01-12 08:30", "to": "2026-01-12 08:40"}
    before, after = asked(**narrow), asked(**query)
    assert (after.phase, after.severity, after.text) == ("impact", "high+", "host")
    assert after.since_us is not None
    assert before.since_us is not None
    assert after.since_us < before.since_us
    everything = unescape(re.findall(r'<a href="([^"]+)">Back to all', text)[0])
    assert "<b>700</b> of 700 events" in shown(operator, PAGE + everything.split("#")[0])
    assert 'value="2026-01-12 08:30:00"' in text


def test_a_filter_that_cannot_be_read_says_so_and_leaves_nothing_out(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", timelines.events(10))
    query = "?from=yesterday&to=%00&phase=magic&severity=bad"
    text = shown(operator, PAGE + query)
    assert "Write a time like 2026-01-31 12:00, in UTC." in text
    assert "was ignored" in text
    assert "<b>10</b> of 10 events" in text
    assert "This is before the start." in shown(operator, PAGE + "?from=2026-01-13&to=2026-01-12")
    assert "cursor_invalid" in shown(operator, PAGE + "?cursor=forged", status=400)


def test_each_severity_has_its_own_filling_and_place_so_that_no_colour_is_needed(
    operator: Client, tmp_path: Path
) -> None:
    given = [event(0, severity=name, metadata={"tactic": "impact"}) for name in SEVERITIES]
    kept(tmp_path / "t", given)
    text = shown(operator, PAGE)
    drawn = text[text.index('class="chart killchain"') :]
    drawn = drawn[: drawn.index("</svg>")]
    parts = re.findall(r'<rect class="part (\w+)" x="[^"]+" y="([^"]+)"', drawn)
    assert [name for name, _ in parts] == list(reversed(SEVERITIES))
    assert sorted((float(y) for _, y in parts), reverse=True) == [float(y) for _, y in parts], (
        "the worst is at the bottom"
    )
    assert drawn.count('<path class="part critical"') == 1
    (label,) = labels(drawn)
    assert all(f"1 {name}" in label for name in SEVERITIES)
    assert "fill=" not in drawn


def test_events_without_phase_or_time_are_counted_and_listed(operator: Client, tmp_path: Path) -> None:
    given = [event(0), event(1, metadata={}), event(2, timestamp="whenever"), event(3, timestamp=None, metadata={})]
    kept(tmp_path / "t", given)
    text = shown(operator, PAGE)
    assert "<b>4</b> of 4 events; <b>2</b> without a valid time" in " ".join(text.split())
    assert "Only unassigned, 2 events" in text
    assert "whenever" in text
    assert text.count("no time</span>") == 2
    assert sum(int(label.split()[0]) for label in labels(text)) == 2


def test_every_event_of_odd_times_is_listed_with_its_original_text_and_none_with_a_wrong_date(
    operator: Client, tmp_path: Path
) -> None:
    given = [event(n, timestamp=at, alert_type=f"t{n}") for n, (at, _) in enumerate(timelines.REPORTED_TIMES)]
    kept(tmp_path / "t", given)
    listed = rows_of(operator, PAGE)
    assert len(listed) == len(given)
    for number, (value, right) in enumerate(timelines.REPORTED_TIMES):
        cell = listed[f"t{number}"]
        if right == timelines.NONE:
            assert "no time" in cell
            assert (value if isinstance(value, str) and value else json.dumps(value)) in cell
        else:
            assert f'datetime="{datetime.fromisoformat(right).isoformat(timespec="milliseconds")}Z"' in cell
            assert str(value) in cell
    beside = {name for name, cell in listed.items() if '<span class="sub">' in cell}
    assert beside == {f"t{n}" for n in range(28) if n != 9}  # only there does the original say the same in figures


def rows_of(client: Client, address: str) -> dict[str, str]:
    """Kind of each listed event → its cell with the time, of all pages."""
    found, query = {}, ""
    while True:
        text = shown(client, address + query)
        for cell, kind in re.findall(
            r'<td[^>]* class="at">(.*?)</td>.*?<td[^>]* class="name"><bdi>(\w+)', text, re.DOTALL
        ):
            found[kind] = unescape(cell)
        more = re.search(r'href="([^"#]+)#records" rel="next">More records', text)
        if more is None:
            return found
        query = unescape(more[1])


@pytest.mark.parametrize(
    ("fields", "beside"),
    [
        ({"timestamp": "2026-01-12T08:00:00Z"}, False),
        ({"timestamp": "2026-01-12T08:00:00.120Z"}, False),
        ({"timestamp": "2026-01-12T08:00:00.123456+00:00"}, False),
        ({"timestamp": "2026-01-12T08:00:00.1234567Z"}, True),
        ({"timestamp": "2026-01-12T08:00:00"}, True),
        ({"timestamp": "2026-01-12T09:00:00+01:00"}, True),
        ({"timestamp": "2026-01-11T24:00:00Z"}, True),
        ({"timestamp": "2026-01-12T08:00:00Z", "datetime": "2026-01-12T08:00:01Z"}, True),
    ],
)
def test_the_original_text_stands_beside_unless_it_says_the_shown_time_in_the_same_figures(
    operator: Client, tmp_path: Path, fields: dict[str, str], beside: bool
) -> None:
    kept(tmp_path / "t", [event(0, alert_type="x", **fields)])
    (cell,) = rows_of(operator, PAGE).values()
    assert all(text in cell for text in fields.values())
    assert ('<span class="sub">' in cell) is beside


def test_events_of_one_minute_are_told_apart_though_some_are_of_other_centuries(
    operator: Client, tmp_path: Path
) -> None:
    kept(tmp_path / "t", timelines.far_apart())
    text = shown(operator, PAGE)
    plain = " ".join(text.split())
    assert len(marks(text)) >= MARKS
    assert sum(int(label.split()[0]) for label in labels(text)) == 50
    assert "← 2 records earlier, 0001-01-01 to 1601-01-01" in plain
    assert "1 record later, 9999-12-31 →" in plain
    assert "<b>54</b> of 54 events; <b>1</b> without a valid time" in plain
    assert "<b>3</b> far from the others in time" in plain
    assert "0001-01-01 00:00:00 UTC" in plain
    assert "9999-12-31 23:59:59 UTC" in plain
    seen = {PAGE}
    for found in re.findall(r'href="(\?[^"#]*)', text):
        address = PAGE + unescape(found)
        if address not in seen:
            seen.add(address)
            shown(operator, address)
    for edge, events in (("2 records earlier", 2), ("1 record later", 1)):
        href = next(
            unescape(h) for h, words in re.findall(r'<a href="([^"]+)"><text[^>]*>([^<]*)', text) if edge in words
        )
        beside = shown(operator, PAGE + href.split("#")[0])
        assert f"<b>{events}</b> of 54 events" in beside
        assert sum(int(label.split()[0]) for label in labels(beside)) == events
    zoom = PAGE + "?from=2026-01-12+08:00:10&to=2026-01-12+08:00:20"
    for _ in range(40):
        out = re.findall(r'<a href="([^"]+)">Zoom out', shown(operator, zoom))
        if not out:
            break
        zoom = PAGE + unescape(out[0]).split("#")[0]
    assert zoom == PAGE + "?origin=bundle"


@pytest.mark.parametrize("query", ["", "?from=2026-01-12+08:00:10&to=2026-01-12+09:00:20", "?host=host-3"])
def test_a_bar_stands_over_the_time_that_the_script_zooms_into(operator: Client, tmp_path: Path, query: str) -> None:
    kept(tmp_path / "t", timelines.events(2_100))
    text = shown(operator, PAGE + query)
    start, end, grid, width = (
        int(found)
        for name in ("start", "end", "grid", "width")
        for found in re.findall(f'data-{name}="(-?[0-9]+)"', text)
    )
    lefts = [float(found) for found in re.findall(r'class="hit" x="([0-9.]+)"', text)]
    assert len(lefts) == len(marks(text)) > 20
    for left, href in zip(lefts, marks(text), strict=True):
        bucket = round((left - drawing.LEFT) / drawing.BUCKET_WIDTH)
        wanted = asked(
            **{name: values[0] for name, values in parse_qs(urlsplit(href).query).items() if name != "origin"}
        )
        assert max(start, grid + bucket * width) == wanted.since_us
        assert min(end, grid + (bucket + 1) * width - 1) == wanted.until_us


@pytest.mark.parametrize("given", [{}, {"from": "1500-01-01"}, {"to": "3000-01-01"}, {"phase": "unassigned"},
                                   {"severity": "high+"}, {"from": "0001-01-01", "to": "9999-12-31"}])  # fmt: skip
def test_what_lies_beside_the_axis_is_counted_once_too(tmp_path: Path, given: dict[str, str]) -> None:
    kept(tmp_path / "t", timelines.far_apart())
    timeline, wanted = timelines.timeline(), asked(**given)
    gathered = record_query.gather(timeline, wanted)
    assert set(counted(gathered)) == {IndexedRecord.objects.filter(wanted.condition(), timeline=timeline).count()}
    assert (gathered.beside > 0) is ("to" not in given or "from" not in given)


def test_an_axis_leaves_nothing_out_where_events_are_spread_or_a_long_quiet_time_is_part_of_the_story(
    tmp_path: Path,
) -> None:
    burst = [event(n, timestamp=(timelines.BEGAN + timedelta(milliseconds=n)).isoformat()) for n in range(300)]
    tail = [event(n, timestamp=(timelines.BEGAN + timedelta(days=30 * n)).isoformat()) for n in range(1, 40)]
    kept(tmp_path / "t", [*burst, *tail])
    assert record_query.gather(timelines.timeline(), Filter()).beside == 0


def test_an_incident_whose_events_all_lack_a_time_has_a_table_and_no_drawing(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", [event(0, timestamp="x"), event(1, timestamp=None)])
    text = shown(operator, PAGE)
    assert "killchain" not in text
    assert "2 of 2 events, oldest first" in text


@pytest.mark.parametrize("count", [0, 1])
def test_a_timeline_of_no_and_of_one_event(operator: Client, tmp_path: Path, count: int) -> None:
    kept(tmp_path / "t", timelines.events(count))
    text = shown(operator, PAGE)
    assert len(marks(text)) == count
    assert ("The timeline has no events." in text) is (count == 0)
    assert ("1 of 1 event, oldest first" in text) is (count == 1)


def test_names_from_evidence_are_text_that_hides_nothing(operator: Client, tmp_path: Path) -> None:
    odd = event(0, alert_type=rows.HOSTILE, source=rows.HOSTILE, target="x" * 4096, mitre_technique="\u05e9" * 900)
    kept(tmp_path / "t", [odd, event(1, alert_type="\x00\ud800", source={"a": [1]}, severity=["x"], metadata=None)])
    text = shown(operator, PAGE)
    assert "<script>alert" not in text
    assert "\u202e" not in re.sub(r'(title|aria-label)="[^"]*"|<title>[^<]*</title>', "", text)
    assert "U+202E" in text
    assert "x" * 100 not in re.sub(r'href="[^"]*"|value="[^"]*"', "", text)
    assert "2 of 2 events" in text


def test_a_large_timeline_needs_few_queries_and_a_bounded_page(
    operator: Client, tmp_path: Path, django_assert_max_num_queries: Any
) -> None:
    kept(tmp_path / "t", timelines.events(3700), artifacts=[f"file-{n}" for n in range(40)])
    kept(tmp_path / "u", timelines.events(200), incident_id="another")
    rows.job("failed")
    for query in ("", "?severity=high%2B", "?text=host-3", "?phase=impact&from=2026-01-12+09:00"):
        with django_assert_max_num_queries(MOST_QUERIES):
            text = shown(operator, PAGE + query)
        assert "of 3,700 events" in text
        assert len(marks(text)) <= len(record_query.LANES) * MARKS
        assert text.count("<tr>") < 150


FILTERS: list[dict[str, str]] = [
    {},
    {"severity": "high+"},
    {"phase": "impact"},
    {"from": "2026-01-12 08:07:31", "to": "2026-01-13 03:00"},
    {"from": "2026-01-12 08:30"},
    {"to": "2026-01-14 01:02:03"},
    {"phase": "discovery", "severity": "low", "from": "2026-01-12 09:00:01", "to": "2026-01-12 23:11"},
]


def test_the_stored_counts_give_what_reading_each_record_gives(tmp_path: Path) -> None:
    odd = [event(n, timestamp=at) for n, at in enumerate(("0001-01-01T00:00:00Z", "whenever"))]
    kept(tmp_path / "t", [*timelines.events(20_000), *odd], alerts=[event(n) for n in range(90)])
    timeline = timelines.timeline()
    for given in FILTERS:  # 20,000 records take long to index, so all filters look at the same
        wanted = asked(**given)
        gathered = record_query.gather(timeline, wanted)
        assert gathered.axis.intervals, f"the counts were used for {given}"
        read = IndexedRecord.objects.filter(wanted.condition(), timeline=timeline)
        for lane in gathered.lanes:
            of_lane = read.filter(kind=lane.kind)
            if lane.kind == "event":
                of_lane = of_lane.filter(phase=lane.phase)
            assert lane.records == of_lane.count(), given
            for cluster in lane.clusters:
                start, end = record_query.bucket_range(gathered.axis, cluster.bucket)
                inside = of_lane.filter(at_us__range=(start, end)).values_list("at_us", "severity")
                assert cluster.severities == Counter(severity for _, severity in inside), given
                assert (cluster.first_us, cluster.last_us) == (min(inside)[0], max(inside)[0]), given
        assert gathered.records == read.count(), given


def test_a_timeline_too_long_for_a_page_says_how_long_it_is(
    operator: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_index, "MOST_RECORDS", 20)
    kept(tmp_path / "t", timelines.events(21))
    assert IndexedRecord.objects.count() == 0
    text = shown(operator, PAGE)
    assert "has 21 events, more than this page can show" in " ".join(text.split())


def test_a_new_timeline_takes_the_place_of_the_one_before_and_an_equal_one_is_not_written_again(
    operator: Client, tmp_path: Path
) -> None:
    kept(tmp_path / "t", timelines.events(10))
    first = timelines.timeline()
    again = kept(tmp_path / "t", timelines.events(10))
    assert timelines.timeline().pk == first.pk
    assert timelines.timeline().bundle_id == again.bundle_id
    newest = kept(tmp_path / "t", timelines.events(11))
    assert timelines.timeline().pk != first.pk
    record_index.remove_hidden()
    assert IndexedRecord.objects.count() == 11
    assert str(newest.bundle_id) in shown(operator, PAGE)


def test_a_newer_bundle_without_a_timeline_leaves_the_last_one_and_says_so(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", timelines.events(10))
    gap = [{"source": "killchain", "reason": "HTTP 503"}]
    kept(tmp_path / "t", None, complete=False, missing=gap)
    Bundle.objects.filter(complete=True).update(created_at="2026-01-01T00:00:00Z")
    text = " ".join(shown(operator, PAGE).split())
    assert "The newest bundle has no timeline; this one is from the latest bundle that has one." in text
    assert "The newest bundle is partial" in text
    assert "HTTP 503" in text
    assert "<b>10</b> of 10 events" in text


@pytest.mark.parametrize(
    ("verdict", "words"),
    [(None, "not verified since it was made"), (True, "Verified"), (False, "failed its last verification")],
)
def test_where_events_come_from_is_said_with_whether_the_file_was_checked(
    operator: Client, tmp_path: Path, verdict: bool | None, words: str
) -> None:
    bundle = kept(tmp_path / "t", timelines.events(3))
    if verdict is not None:
        rows.verification(bundle, ok=verdict)
    text = shown(operator, PAGE)
    panel = text[text.index('id="kill-chain"') : text.index('id="records"')]
    assert words in panel
    assert ("Verified" in re.sub("Not verified|Not yet verified", "", panel)) is (verdict is True)


def test_the_synthetic_and_the_public_incidents_are_read_without_a_gap(tmp_path: Path) -> None:
    incident.make(tmp_path / "own")
    folders = sorted(tmp_path.glob("own/*")) + sorted(path.parent for path in SHARED.glob("*/timeline.json"))
    for place, folder in enumerate(folders):
        given = json.loads((folder / "timeline.json").read_text())["events"]
        kept(tmp_path / f"t{place}", given, incident_id=folder.name)
        gathered = record_query.gather(timelines.timeline(folder.name), Filter())
        assert set(counted(gathered)) == {len(given)}
        assert gathered.undated == 0
        lanes = {lane.phase: lane.records for lane in gathered.lanes}
        assert lanes.get("", 0) == sum(1 for one in given if not one["metadata"].get("tactic"))
        assert lanes == tactics(given)


def tactics(given: Iterable[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in given:
        name = one["metadata"].get("tactic") or ""
        found[name] = found.get(name, 0) + 1
    return found


def test_a_stranger_and_a_user_without_a_role_see_no_timeline(tmp_path: Path) -> None:
    kept(tmp_path / "t", timelines.events(3))
    assert Client().get(PAGE)["Location"].startswith(reverse("sign-in"))
    assert "permission_denied" in shown(signed_in(""), PAGE, status=403)
    assert "<b>3</b> of 3 events" in shown(signed_in("viewer"), PAGE)
