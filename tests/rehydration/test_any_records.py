"""Whatever records a bundle holds, all of them come back: no id displaces another, and what cannot be held is named."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bundles import services as bundle_services
from bundles.format.model.canonical import canonical_record
from bundles.format.model.records import parse_record
from bundles.models import Bundle
from foundation.principal import SYSTEM
from rehydration.models import Alert, ArtifactRecord
from tests.support.rehydration_incident import Incident, restore, run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_job_but_those_that_are_asked_for(settings):
    settings.ORCH_VERIFY_AFTER_CREATE = False


NUMBER = st.sampled_from(["5", "5.0", "-0", "1.10", "1486215887.584922537", "9007199254740993.5", "1E400"])
TEXT = st.text(st.sampled_from('a5",:\\\0\n\ud800é'), max_size=4)
IDS = st.sampled_from(['"5"', "5", "5.0", "null", '""', "true", '["5"]', '{"a":5}', '"\\u0000"', f'"{"x" * 600}"'])
SOME = st.dictionaries(st.sampled_from(["timestamp", "severity", "title", "n"]), NUMBER | IDS | TEXT.map(
    lambda text: canonical_record([text]).decode()[1:-1]), max_size=3)  # fmt: skip
ALERTS = st.lists(st.builds(lambda some, key: some | key, SOME, st.just({}) | IDS.map(lambda value: {"id": value})))
EVENTS = st.lists(SOME, max_size=4)
numbers = count()


def records(written: list[dict[str, str]]) -> list[dict[str, object]]:
    """Records whose values are given as JSON."""
    return [parse_record("{" + ",".join(f'"{key}":{value}' for key, value in one.items()) + "}") for one in written]


def bundled_again(incident_id: str, *, allow_partial: bool = False) -> Any:
    bundle_services.request_bundle(SYSTEM, incident_id=incident_id, source="restored", allow_partial=allow_partial)
    return run()


FIVE, TEXT_FIVE = {"id": "5"}, {"id": '"5"'}
SAME_ID = [{"id": '"a"', "n": "1"}, {"id": '"a"', "n": "2"}, {"id": '"a"', "n": "1"}]


@given(alerts=ALERTS, events=EVENTS, twice=st.booleans())
@example(alerts=[FIVE, TEXT_FIVE], events=[], twice=True)
@example(alerts=SAME_ID, events=[], twice=True)
@example(alerts=[{"n": "1"}, {"n": "1"}, {"id": "null", "n": "1"}], events=[{"n": "1.10"}, {"n": "1.1"}], twice=False)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_records_are_bundled_restored_and_bundled_to_the_same_content(orch, alerts, events, twice):
    incident_id = f"any-{next(numbers)}"
    header = records([{"incident_id": f'"{incident_id}"', "scale": "1.10", "limit": "1E400"}])[0]
    incident = Incident(
        incident_id=incident_id, header=header, alerts=records(alerts), events=records(events),
        files={"art-1": ("a.log", b"one")},
    )  # fmt: skip
    written = incident.bundle(orch, f"{incident_id}.tar.zst")
    for _ in range(1 + twice):
        done = restore(f"{incident_id}.tar.zst")
        assert (done.status, done.result["conflict_total"]) == ("completed", 0)
    stored = Alert.objects.filter(incident_id=incident_id).values_list("record", flat=True)
    assert sorted(stored) == sorted(canonical_record(alert).decode() for alert in incident.alerts)
    again = bundled_again(incident_id)
    assert again.result["content_digest"] == written.manifest.content_digest


def test_an_id_that_is_a_number_and_one_that_is_its_text_are_two_ids(orch):
    Incident(alerts=records([FIVE, TEXT_FIVE])).bundle(orch, "b.tar.zst")
    restore("b.tar.zst")
    found = Alert.objects.order_by("id_type").values_list("id_type", "alert_id", "occurrence")
    assert list(found) == [("number", "5", 0), ("string", "5", 0)]


def test_a_fuller_bundle_adds_what_is_missing_of_an_id_and_repeats_nothing(orch):
    first, second, third = records(SAME_ID)
    Incident(alerts=[second]).bundle(orch, "one.tar.zst")
    Incident(alerts=[first, second, third]).bundle(orch, "three.tar.zst")
    restore("one.tar.zst")
    assert restore("three.tar.zst").result["plan"]["alerts"] == {"new": 2, "equal": 1, "conflict": 0}
    assert restore("one.tar.zst").result["plan"]["alerts"] == {"new": 0, "equal": 1, "conflict": 0}
    assert sorted(Alert.objects.values_list("occurrence", flat=True)) == [0, 1, 2]


def test_two_records_of_one_artifact_come_back_with_the_file_they_share(orch):
    incident = Incident(files={"art-1": ("a.log", b"one")})
    other = {**incident.record_of("art-1"), "collected_at": "2026-02-02"}
    incident.more_records = [other, other]
    written = incident.bundle(orch, "b.tar.zst")
    assert restore("b.tar.zst").result["plan"]["artifacts"] == {"new": 3, "equal": 0, "conflict": 0}
    assert restore("b.tar.zst").result["changed"] is False
    assert ArtifactRecord.objects.exclude(stored_path="").count() == 3
    assert bundled_again(incident.incident_id).result["content_digest"] == written.manifest.content_digest


def test_records_of_links_and_empty_folders_need_no_file_and_come_back(orch):
    incident = Incident(files={"art-1": ("a.log", b"one")})
    link = {"file_type": "link", "name": "etc/rc2.d/S01ssh", "target": "../init.d/ssh", "mode": "0777"}
    incident.more_records = [link, {"file_type": "folder", "name": "Windows/Temp"}]
    written = incident.bundle(orch, "b.tar.zst")
    done = restore("b.tar.zst")
    assert (done.status, done.result["plan"]["artifacts"]) == ("completed", {"new": 3, "equal": 0, "conflict": 0})
    assert restore("b.tar.zst").result["changed"] is False
    assert bundled_again(incident.incident_id).result["content_digest"] == written.manifest.content_digest


def test_what_a_restore_left_out_is_missing_from_every_later_bundle(orch):
    Incident(alerts=records([{"id": '"a"', "n": "1"}])).bundle(orch, "old.tar.zst")
    newer = Incident(alerts=records([{"id": '"a"', "n": "2"}, {"id": '"b"'}]))
    newer.header["event_count"] = 5
    newer.files["art-1"] = ("plain.log", b"another!\n")
    written = newer.bundle(orch, "new.tar.zst")
    restore("old.tar.zst")
    for _ in range(2):
        assert restore("new.tar.zst").result["conflict_total"] == 4
        refused = bundled_again(newer.incident_id)
        assert (refused.status, refused.error_code) == ("failed", "source_invalid")
        assert "left out" in refused.error_message
        again = bundled_again(newer.incident_id, allow_partial=True)
        assert again.result["complete"] is False
    gaps = {gap["source"]: gap["reason"] for gap in again.result["missing"]}
    left_out = f"of bundle {written.sha256[:16]} were in conflict with what was here and left out"
    assert gaps == {
        "alerts": f"1 alerts {left_out}",
        "artifacts": f"2 artifact records and files {left_out}",
        "timeline": f"1 parts of the timeline {left_out}",
    }
    assert Bundle.objects.filter(complete=True).count() == 0


def test_a_file_without_a_record_is_missing_from_every_later_bundle(orch):
    incident = Incident()
    incident.unrecorded = ("art-1",)
    incident.bundle(orch, "b.tar.zst")
    assert restore("b.tar.zst").result["plan"]["files"]["conflict"] == 1
    again = bundled_again(incident.incident_id, allow_partial=True)
    assert [gap["source"] for gap in again.result["missing"]] == ["artifacts"]
