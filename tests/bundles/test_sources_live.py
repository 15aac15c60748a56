"""The live source against services that work, misbehave, or do not respond."""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bundles import sources
from bundles.errors import SourceNotRegisteredError
from bundles.format.model.records import iter_array, read_timeline
from bundles.sources import faults
from bundles.sources.collect import Fetched
from bundles.sources.live import LiveSource
from jobs.errors import CancelledError, PermanentError, RetryableError
from tests.support.upstreams import (
    ALERTS,
    CONTENTS,
    INCIDENT,
    Upstreams,
    artifact_record,
    says,
    small_incident,
    timeline,
)

TITLES = {"killchain": "KillChain timeline", "db": "Alerts DB", "forensic": "Forensic artifacts"}
KEYS = {"killchain": "timeline", "db": "alerts", "forensic": "artifacts"}
SERVICES = tuple(TITLES)


@pytest.fixture
def upstreams(tmp_path):
    with Upstreams([small_incident(tmp_path / "data")]) as running:
        yield running


@pytest.fixture
def staging(tmp_path):
    made = tmp_path / "staging"
    made.mkdir()
    return made


def test_it_collects_everything_in_canonical_form(upstreams, staging):
    evidence = upstreams.collect(staging)
    assert evidence.counts == {"events": 3, "alerts": ALERTS, "artifacts": 3}
    assert evidence.missing == []
    assert set(evidence.members) == {"timeline.json", "alerts.json", "artifacts.json"}
    timeline_read = read_timeline(evidence.members["timeline.json"])
    assert [event["timestamp"][-3:-1] for event, _ in timeline_read.events] == ["03", "01", "02"]
    assert timeline_read.header["zone"] == "z"
    alerts = [alert for alert, _ in iter_array(evidence.members["alerts.json"])]
    assert len(alerts) == ALERTS
    assert alerts == sorted(alerts, key=lambda alert: (alert["timestamp"], alert["id"]))


def test_it_reads_the_artifacts_bytes(upstreams, staging):
    evidence = upstreams.collect(staging)
    read = {}
    for artifact in evidence.artifacts:
        with artifact.open() as file:
            read[artifact.artifact_id] = (artifact.name, file.read())
    assert read == CONTENTS


def test_artifact_records_are_kept_as_served(upstreams, staging):
    served = artifact_record("a-3", "ímynd.dd", b"disk", extra={"nested": [1, 2.5, None]})
    upstreams.answers["forensic"] = lambda exchange: (
        not exchange.path.endswith("/content") and says({"artifacts": [served]})(exchange)
    )
    evidence = upstreams.collect(staging)
    assert [record for record, _ in iter_array(evidence.members["artifacts.json"])] == [served]


def test_provenance_has_url_time_record_count_and_hash_of_the_bytes(upstreams, staging):
    body = json.dumps(timeline(), indent=3).encode()
    upstreams.answers["killchain"] = says(body)
    provenance = upstreams.collect(staging).provenance["timeline"]
    assert provenance["url"] == upstreams.url("killchain") + f"/api/v1/timeline/{INCIDENT}"
    assert provenance["record_count"] == 3
    assert provenance["sha256"] == hashlib.sha256(body).hexdigest()
    assert len(provenance["fetched_at"]) == len("2026-01-31T12:00:00.000000Z")


def with_url(source: LiveSource, part: faults.Source, url: str) -> LiveSource:
    systems = {**source.profile.systems, part: replace(source.profile.systems[part], url=url)}
    return replace(source, profile=replace(source.profile, systems=systems))


def test_provenance_holds_no_credentials(upstreams, staging):
    plain = upstreams.source(staging)
    url = plain.profile.systems[faults.TIMELINE].url
    secret = with_url(plain, faults.TIMELINE, url.replace("//", "//robot:hunter2@"))
    evidence = secret.collect(INCIDENT, staging, allow_partial=False, on_progress=lambda *_: None, check=lambda: None)
    assert "hunter2" not in json.dumps(evidence.provenance)


def test_it_unwraps_a_timeline_in_an_outer_object(upstreams, staging):
    upstreams.answers["killchain"] = says({"took_ms": 4, "timeline": timeline()})
    timeline_read = read_timeline(upstreams.collect(staging).members["timeline.json"])
    assert timeline_read.header["incident_id"] == INCIDENT
    assert "took_ms" not in timeline_read.header


def test_it_reports_progress_that_only_grows(upstreams, staging):
    reports: list[Fetched] = []
    upstreams.collect(staging, on_progress=reports.append)
    assert {report.what for report in reports} == set(TITLES.values())
    for grows in ("records", "received_bytes"):
        counts = [getattr(report, grows) for report in reports]
        assert counts == sorted(counts)
    assert reports[-1].records >= ALERTS


def test_it_reports_the_length_of_an_answer_where_the_source_states_it(upstreams, staging):
    reports: list[Fetched] = []
    upstreams.collect(staging, on_progress=reports.append)
    read = {report.what: report for report in reports}  # the last report of each source
    for title in (TITLES["killchain"], TITLES["forensic"]):
        assert read[title].answer_total_bytes == read[title].answer_bytes > 0
    assert read[TITLES["db"]].answer_total_bytes is None, "its pages are answers of their own"


def test_it_stops_when_check_raises(upstreams, staging):
    def check() -> None:
        if any("alerts" in asked for asked in upstreams.asked):
            raise CancelledError("stop")

    with pytest.raises(CancelledError):
        upstreams.collect(staging, check=check, allow_partial=True)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says(b"oops secret-body", 500), "source_unavailable"),
        (says(b"", 503), "source_unavailable"),
        (says(b"", 429), "source_unavailable"),
        (says(b'{"alerts": [{"id": "1"', length=5000), "source_unavailable"),
        (says(b'{"incident_id": "case-7", "ev'), "source_unavailable"),
        (says(b""), "source_unavailable"),
        (says(b"no secret-body", 403), "source_rejected"),
        (says(b"", 302, Location="http://127.0.0.1:1/elsewhere"), "source_rejected"),
        (says(b"", 301, Location="/health"), "source_rejected"),
        (says(b"", 204), "source_invalid"),
        (says(b"<html>secret-body</html>", kind="text/html"), "source_invalid"),
        (says(b"{}"), "source_invalid"),
        (says(b"[]"), "source_invalid"),
        (says(b"{nonsense}"), "source_invalid"),
        (says(b'{"incident_id": "case-7", "incident_id": "case-7"}'), "source_invalid"),
        (says(b'{"x": NaN}'), "source_invalid"),
        (says(b'{"x": "\xff"}'), "source_invalid"),
        (says(b'{"x": ' + b"[" * 100_000), "source_invalid"),
        (says({"events": [1], "alerts": [1], "artifacts": [1]}), "source_invalid"),
        (says({"events": {}, "alerts": {}, "artifacts": {}}), "source_invalid"),
        (says({}, Content_Encoding="gzip"), "source_invalid"),
    ],
)
def test_a_bad_answer_fails_with_its_code_and_names_the_source(upstreams, staging, service, answer, code):
    upstreams.answers[service] = answer
    kind = RetryableError if code == "source_unavailable" else PermanentError
    with pytest.raises(kind) as raised:
        upstreams.collect(staging)
    assert raised.value.code == code
    assert str(raised.value).startswith(TITLES[service])
    assert "secret-body" not in str(raised.value)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_down_is_a_retryable_error(upstreams, staging, service):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    parts = {"killchain": faults.TIMELINE, "db": faults.ALERTS, "forensic": faults.ARTIFACTS}
    source = with_url(upstreams.source(staging), parts[service], nobody)
    with pytest.raises(RetryableError, match=TITLES[service]) as raised:
        source.collect(INCIDENT, staging, allow_partial=False, on_progress=lambda *_: None, check=lambda: None)
    assert raised.value.code == "source_unavailable"


@pytest.mark.parametrize("allow_partial", [False, True])
def test_an_unknown_incident_is_a_permanent_error(upstreams, staging, allow_partial):
    upstreams.answers["forensic"] = says({"artifacts": []})
    with pytest.raises(PermanentError, match=r"KillChain timeline.*no-such-case") as raised:
        upstreams.collect(staging, incident_id="no-such-case", allow_partial=allow_partial)
    assert raised.value.code == "incident_unknown"


def test_an_incident_that_one_service_alone_does_not_know_is_said_to_be_known_elsewhere(upstreams, staging):
    upstreams.answers["forensic"] = says(b"", 404)
    with pytest.raises(PermanentError, match=r"Forensic artifacts: .* known elsewhere: timeline, alerts") as raised:
        upstreams.collect(staging)
    assert raised.value.code == "incident_unknown"


@pytest.mark.parametrize(
    "wrong",
    [
        timeline(incident_id="case-8"),
        {key: value for key, value in timeline().items() if key != "incident_id"},
        timeline(event_count=4),
        timeline(event_count=True, events=[{}]),
        timeline(event_count="3"),
        {**timeline(), "timeline": timeline()},
        {"timeline": {"incident_id": INCIDENT}},
        timeline(events=[{}, {}, 3]),
    ],
)
def test_a_timeline_that_is_not_this_incidents_is_refused(upstreams, staging, wrong):
    upstreams.answers["killchain"] = says(wrong)
    with pytest.raises(PermanentError, match="KillChain timeline") as raised:
        upstreams.collect(staging)
    assert raised.value.code == "source_invalid"


@pytest.mark.parametrize(
    "changes",
    [
        {"artifact_id": ""},
        {"artifact_id": ".."},
        {"artifact_id": None},
        {"artifact_id": True},
        {"artifact_id": 7.5},
        {"artifact_id": "x" * 1025},
        {"artifact_id": "x\0"},
        {"artifact_id": "\ud800"},
        {"incident_id": "case-8"},
        {"name": ""},
        {"name": None},
        {"size": -1},
        {"size": 1.5},
        {"size": True},
        {"size": 2**63},
        {"sha256": "00"},
        {"sha256": None},
    ],
)
def test_an_artifact_record_that_cannot_be_used_is_refused(upstreams, staging, changes):
    upstreams.answers["forensic"] = says({"artifacts": [artifact_record("a-1", "n", b"", **changes)]})
    with pytest.raises(PermanentError, match="Forensic artifacts") as raised:
        upstreams.collect(staging)
    assert raised.value.code == "source_invalid"


def test_records_of_one_artifact_with_the_same_bytes_are_all_kept_and_equal_ones_once(upstreams, staging):
    record = artifact_record("a-2", "n", b"")
    upstreams.answers["forensic"] = lambda exchange: (
        not exchange.path.endswith("/content")
        and says({"artifacts": [record, record, record | {"name": "m"}]})(exchange)
    )
    evidence = upstreams.collect(staging)
    assert [one["name"] for one, _ in iter_array(evidence.members["artifacts.json"])] == ["m", "n"]
    assert [(one.artifact_id, one.name) for one in evidence.artifacts] == [("a-2", "n")], "the file is packed once"
    stated = evidence.provenance["artifacts"]
    assert (stated["record_count"], stated["equal_records"], stated["repeated_ids"]) == (2, 1, 1)
    assert stated["notes"] == [
        "1 artifact record was left out, equal to an earlier one in every byte (at position 2)",
        "artifact records 1, 3 are different and have the id a-2; all are kept",
    ]


def test_a_record_with_the_id_of_another_and_other_content_is_refused_alone(upstreams, staging):
    first, other = artifact_record("a-3", "n", b"disk"), artifact_record("a-3", "n", b"else")
    upstreams.answers["forensic"] = lambda exchange: (
        "?" in exchange.path and says({"artifacts": [first, other]})(exchange)
    )
    with pytest.raises(
        PermanentError, match=r"artifact record 2 \(id a-3\), byte \d+, .*field artifact_id: record 1 has"
    ):
        upstreams.collect(staging)
    place = staging / "partial"
    place.mkdir()
    evidence = upstreams.collect(place, allow_partial=True)
    assert [record for record, _ in iter_array(evidence.members["artifacts.json"])] == [first]
    assert [(gap["source"], "artifact record 2 (id a-3)" in gap["reason"]) for gap in evidence.missing] == [
        ("artifacts", True)
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_partial_collection_lists_the_source_that_failed(upstreams, staging, service):
    upstreams.answers[service] = says(b"", 500)
    evidence = upstreams.collect(staging, allow_partial=True)
    assert [list(entry) for entry in evidence.missing] == [["source", "reason"]]
    assert evidence.missing[0]["source"] == KEYS[service]
    assert TITLES[service] in evidence.missing[0]["reason"]
    assert f"{KEYS[service]}.json" not in evidence.members
    assert len(evidence.members) == 2
    assert KEYS[service] not in evidence.provenance
    assert not (staging / f"{KEYS[service]}.json").exists()


def test_a_partial_collection_of_nothing_fails(upstreams, staging):
    for service in SERVICES:
        upstreams.answers[service] = says(b"", 404 if service == "killchain" else 500)
    with pytest.raises(RetryableError, match="Alerts DB"):
        upstreams.collect(staging, allow_partial=True)


def test_the_live_source_is_registered_and_an_unknown_one_is_refused(settings):
    settings.KILLCHAIN_API_URL = "http://timeline.example.com:81"
    source = sources.source_of({"source": "live"})
    assert isinstance(source, LiveSource)
    assert source.profile.systems[faults.TIMELINE].url == "http://timeline.example.com:81"
    with pytest.raises(SourceNotRegisteredError):
        sources.source_of({"source": "nowhere"})


def _shared_incidents() -> Path:
    import os

    named = os.environ.get("ORCH_SHARED_INCIDENTS")
    return Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "incidents"


@pytest.mark.skipif(not _shared_incidents().is_dir(), reason="no folder of real incidents is available")
def test_real_incidents_are_collected_completely(staging):
    with Upstreams([_shared_incidents()]) as running:
        incident_ids = running.folders.incident_ids()
        assert incident_ids
        for incident_id in incident_ids:
            place = staging / incident_id
            place.mkdir()
            evidence = running.collect(place, incident_id=incident_id)
            folder = _shared_incidents() / incident_id
            assert evidence.counts == {
                "events": len(json.loads((folder / "timeline.json").read_bytes())["events"]),
                "alerts": len(json.loads((folder / "alerts.json").read_bytes())),
                "artifacts": len(json.loads((folder / "artifacts.json").read_bytes())),
            }
            for artifact in evidence.artifacts:
                with artifact.open() as file:
                    assert hashlib.sha256(file.read()).hexdigest() == artifact.sha256
