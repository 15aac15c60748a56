"""The writers of members for systems whose records come one by one."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from bundles.format.model.records import iter_array, read_timeline
from bundles.sources import faults, members
from bundles.sources.adapters.protocol import Wanted
from bundles.sources.members import RecordsMember, TimelineMember
from bundles.sources.trace import Tally
from jobs.errors import PermanentError

URL = "https://system.example/events"


@pytest.fixture
def wanted(tmp_path):
    def make(*, allow_partial: bool = False) -> Wanted:
        tally = Tally(lambda _: None, lambda: None)
        return Wanted(incident_id="case-7", ref="42", staging=tmp_path, tally=tally, allow_partial=allow_partial)

    return make


def test_a_timeline_keeps_the_order_of_its_events_and_carries_our_incident_id(wanted):
    with TimelineMember(faults.TIMELINE, URL, wanted()) as member:
        member.header = {"incident_id": "theirs", "events": "none", "sketch": {"id": 42}, "title": "x"}
        assert [member.add({"n": number}) for number in (3, 1, 2)] == [True, True, True]
        member.trace.read(b"bytes")
        member.note("It was archived.")
        member.as_of(datetime(2026, 1, 1, tzinfo=UTC), 3, 2)
        part = member.part()
    timeline = read_timeline(part.member)
    assert timeline.header == {"incident_id": "case-7", "sketch": {"id": 42}, "title": "x"}
    assert [event["n"] for event, _ in timeline.events] == [3, 1, 2]
    assert part.provenance["url"] == URL
    assert part.provenance["record_count"] == part.count == 3
    assert part.provenance["notes"] == ["It was archived."]
    assert part.provenance["as_of"] == {"at": "2026-01-01T00:00:00.000000Z", "records": 3, "later": 2}


def test_a_timeline_can_be_sorted_by_key_for_a_system_without_an_order(wanted):
    with TimelineMember(faults.TIMELINE, URL, wanted(), by_key=True) as member:
        for number in (3, 1, 2):
            member.add({"n": number}, key=(str(number), ""))
        part = member.part()
    assert [event["n"] for event, _ in read_timeline(part.member).events] == [1, 2, 3]


@pytest.mark.parametrize(
    ("source", "name", "records"),
    [
        (faults.ALERTS, "alerts.json", [{"timestamp": "2", "id": "a"}, {"timestamp": "1", "id": "b"}]),
        (faults.ARTIFACTS, "artifacts.json", [{"artifact_id": "b"}, {"artifact_id": "a"}]),
    ],
)
def test_records_are_sorted_as_the_format_asks(wanted, source, name, records):
    with RecordsMember(source, URL, wanted()) as member:
        for record in records:
            member.add(record)
        part = member.part()
    assert part.member.name == name
    assert [record for record, _ in iter_array(part.member)] == records[::-1]


BAD = [
    ("text", "it is not an object"),
    ({"n": math.nan}, "cannot be written as JSON"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_a_record_that_cannot_be_used_is_left_out_and_named_or_is_a_fault(wanted, bad, reason):
    with TimelineMember(faults.TIMELINE, URL, wanted(allow_partial=True)) as member:
        assert member.add({"n": 1})
        assert not member.add(bad, "~12\n")
        member.leave_out(f"{members.named(3, 9)}: it has no size")
        assert member.add({"n": 4})
        part = member.part()
    assert [event["n"] for event, _ in read_timeline(part.member).events] == [1, 4]
    assert part.count == 2
    assert part.left_out[0].startswith("KillChain timeline: record 2 (id ~12%0A): ")
    assert reason in part.left_out[0]
    assert part.left_out[1] == "KillChain timeline: record 3 (id 9): it has no size."
    part.member.unlink()
    with TimelineMember(faults.TIMELINE, URL, wanted()) as member:
        member.add({"n": 1})
        with pytest.raises(PermanentError) as caught:
            member.add(bad, "~12")
    assert caught.value.code == faults.INVALID
    assert "record 2 (id ~12): " in str(caught.value)


def test_of_very_many_bad_records_the_first_are_named_and_the_others_counted(wanted, monkeypatch):
    monkeypatch.setattr(members, "NAMED", 2)
    with RecordsMember(faults.ALERTS, URL, wanted(allow_partial=True)) as member:
        for bad in range(5):
            member.add(bad)
        part = member.part()
    assert len(part.left_out) == 3
    assert part.left_out[2].startswith("Alerts DB: 3 more records")
