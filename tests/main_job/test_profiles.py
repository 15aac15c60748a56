"""A bundle by a profile of the file of sources: other ids in the systems, rules of the source, and back again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundles import services as bundle_services
from bundles.errors import InvalidBundleRequestError
from bundles.format.reading.report import check_bundle
from bundles.keys import trusted_keys
from bundles.models import DependencyStatus, IndexedRecord, KeptTimeline, Manifest
from bundles.sources import dependency_status
from foundation.principal import SYSTEM
from jobs import services as job_services
from jobs.models import Job
from rehydration.models import RestoredIncident, TimelineHeader
from tests.support.main_job import INCIDENT, bundle, job_of, path_of, restore, run_to_its_end, sources
from tests.support.upstreams import Upstreams, says

__all__ = ["sources"]

pytestmark = pytest.mark.django_db

OURS = "our-own-id"
FILE = """
[systems.north]
adapter = "ransomeye"
url = "{killchain}"
times = {{zone = "+02:00"}}
[systems.south]
adapter = "ransomeye"
url = "{db}"
severities = "suricata"
[systems.files]
adapter = "ransomeye"
url = "{forensic}"
[profiles.eu]
title = "Europe"
timeline = "north"
alerts = "south"
artifacts = "files"
[profiles.alerts-only]
alerts = "south"
"""


@pytest.fixture
def _file(tmp_path: Path, settings: Any, sources: Upstreams) -> None:
    """The file of sources, and records that need rules."""
    incident = tmp_path / "incidents" / INCIDENT
    timeline = json.loads((incident / "timeline.json").read_text())
    for event in timeline["events"]:
        event["timestamp"] = event["timestamp"].rstrip("Z")
    (incident / "timeline.json").write_text(json.dumps(timeline))
    alerts = json.loads((incident / "alerts.json").read_text())
    (incident / "alerts.json").write_text(json.dumps([{**alert, "severity": 1} for alert in alerts]))
    file = tmp_path / "sources.toml"
    file.write_text(FILE.format(**{name: sources.url(name) for name in ("killchain", "db", "forensic")}))
    settings.ORCH_SOURCES_FILE = file
    settings.ORCH_SOURCES_IN_ENVIRONMENT = True


REFS = {"north": INCIDENT, "south": INCIDENT, "files": INCIDENT}


def indexed(origin: str) -> set[tuple[str, int, str]]:
    kept = KeptTimeline.objects.get(incident_id=OURS, origin=origin)
    rows = IndexedRecord.objects.filter(timeline=kept, kind__in=["event", "alert"])
    return {(row.kind, row.severity, row.rated or str(row.at_us // 10**6 % 86400)) for row in rows}


@pytest.mark.usefixtures("_file")
def test_an_incident_with_other_ids_in_its_systems_is_bundled_verified_and_restored_under_our_own(orch: Any) -> None:
    made = bundle(OURS, profile="eu", refs=REFS)
    assert made.complete
    entries = json.loads(bytes(Manifest.objects.get(bundle=made).raw))["metadata"]["sources"]
    assert {part: (entry["profile"], entry["system"], entry["ref"]) for part, entry in entries.items()} == {
        "timeline": ("eu", "north", INCIDENT),
        "alerts": ("eu", "south", INCIDENT),
        "artifacts": ("eu", "files", INCIDENT),
    }  # fmt: skip
    assert (entries["timeline"]["times"], entries["alerts"]["severities"]) == ({"zone": "+02:00"}, "suricata")
    assert made.sources["alerts"]["ref"] == INCIDENT
    report = check_bundle(path_of(made), trusted_keys.trusted()).as_dict()
    assert (report["verified"], report["incident_id"]) == (True, OURS)
    restore(made)
    assert json.loads(TimelineHeader.objects.get(pk=OURS).record)["incident_id"] == OURS
    expected = {("alert", 4, "Suricata 1"), *(("event", 0, str(86400 - 7200 + n)) for n in (1, 2, 3))}
    assert indexed("bundle") == indexed("restored") == expected
    assert RestoredIncident.objects.get(pk=OURS).rules == {
        "timeline": {"times": {"zone": "+02:00"}}, "alerts": {"severities": "suricata"},
    }  # fmt: skip
    again = bundle(OURS, source="restored")
    assert again.content_digest == made.content_digest
    assert indexed("bundle") == expected
    assert again.sources == {"timeline": {"times": {"zone": "+02:00"}}, "alerts": {"severities": "suricata"}}


@pytest.mark.usefixtures("_file")
def test_a_part_that_the_profile_has_no_system_for_is_listed_as_missing(orch: Any) -> None:
    made = bundle(INCIDENT, profile="alerts-only")
    assert not made.complete
    assert made.missing == [
        {"source": part, "reason": "the source profile alerts-only names no system for it."}
        for part in ("timeline", "artifacts")
    ]
    assert made.counts is not None
    assert (made.counts["events"], made.counts["alerts"]) == (None, {"high": 7})


@pytest.mark.usefixtures("_file")
def test_requests_that_differ_in_profile_or_ids_are_different_requests(orch: Any) -> None:
    def request(**asked: Any) -> Any:
        return bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT, **asked)

    first = request(profile="eu")
    assert request().created
    assert request(profile="eu", refs={"north": "77"}).created
    same = request(profile="eu", refs={"north": INCIDENT})
    assert (same.created, same.job.job_id) == (False, first.job.job_id)
    assert first.job.payload["profile"] == "eu"
    copied = bundle_services.resubmit_bundle(SYSTEM, request(profile="eu", refs={"north": "77"}).job)
    assert not copied.created
    assert copied.job.payload["refs"] == {"north": "77"}


@pytest.mark.usefixtures("_file")
def test_an_unknown_profile_or_system_is_refused_with_what_there_is(orch: Any) -> None:
    for asked, field, expected in (
        ({"profile": "us"}, "profile", "There is no source profile 'us'; there are default, eu, alerts-only"),
        ({"profile": "eu", "refs": {"west": "1"}}, "refs.west", "has no such system; it has north, south, files"),
        ({"profile": "eu", "refs": {"north": "a\nb"}}, "refs.north", "none of them a control character"),
        ({"source": "restored", "profile": "eu"}, "profile", "for live evidence only"),
    ):
        with pytest.raises(InvalidBundleRequestError) as refused:
            bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT, **asked)
        assert expected in refused.value.fields[field]


@pytest.mark.usefixtures("_file")
def test_a_profile_that_is_gone_when_the_job_runs_fails_it_and_says_so(settings: Any, orch: Any) -> None:
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT, profile="eu").job
    settings.ORCH_SOURCES_FILE = None
    done = run_to_its_end(job)
    assert (done.status, done.error_code, done.attempts) == ("failed", "source_misconfigured", 1)
    assert "There is no source profile 'eu'; there are default." in done.error_message


@pytest.mark.usefixtures("_file")
def test_the_job_of_the_default_profile_says_so_in_its_payload(orch: Any) -> None:
    payload = job_of(bundle()).payload
    assert (payload["profile"], payload["refs"]) == ("default", {})


@pytest.mark.usefixtures("_file")
def test_a_job_waits_for_the_systems_of_its_own_profile_and_for_no_other(
    settings: Any, sources: Upstreams, orch: Any
) -> None:
    settings.KILLCHAIN_API_URL = "http://127.0.0.1:9"  # of the profile `default` alone
    sources.answers["db"] = says(b"", 500)
    waiting = [
        run_to_its_end(bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT, profile=name).job)
        for name in ("default", "eu")
    ]
    for job in waiting:
        job_services.retry(SYSTEM, job.job_id, when_available=True)
    assert [Job.objects.get(pk=job.pk).waits_for for job in waiting] == ["sources", "sources:eu"]
    sources.answers.clear()
    dependency_status.sweep()
    assert [Job.objects.get(pk=job.pk).waits_for for job in waiting] == ["sources", ""]
    assert set(DependencyStatus.objects.values_list("name", "ok")) == {
        ("source.timeline", False), ("source.alerts", True), ("source.artifacts", True),
        ("source.north", True), ("source.south", True), ("source.files", True),
    }  # fmt: skip
    settings.KILLCHAIN_API_URL = sources.url("killchain")
    dependency_status.sweep()
    assert [Job.objects.get(pk=job.pk).waits_for for job in waiting] == ["", ""]
