"""Bundling while sources misbehave: the job fails and names the source, and no bundle is made."""

from __future__ import annotations

import json

import pytest

from bundles import services as bundle_services
from bundles.format.reading.report import check_bundle
from bundles.keys import trusted_keys
from bundles.models import Bundle
from bundles.samples.services import Exchange
from custody.models import Event
from foundation.principal import SYSTEM
from jobs import services as job_services
from tests.support.main_job import FILES, INCIDENT, bundle, files_of, job_of, path_of, restore, run_to_its_end, sources
from tests.support.upstreams import says

__all__ = ["sources"]

pytestmark = pytest.mark.django_db

TITLES = {"killchain": "KillChain timeline", "db": "Alerts DB", "forensic": "Forensic artifacts"}
HALF = b'{"incident_id": "case-9", "events": [{"timestamp": "2026-01-01T00:0'
MISBEHAVIOURS = {
    "answers 500": (says(b"oops", 500), "source_unavailable", 3),
    "answers HTML": (says(b"<html>sign in</html>", kind="text/html"), "source_invalid", 1),
    "sends half a body": (says(HALF, length=5000), "source_unavailable", 3),
    "does not know the incident": (says({"error": "unknown"}, 404), "", 1),
}


def fails(orch, code: str, title: str, attempts: int, **asked: object) -> str:
    """Request a bundle, check that the job fails with this code and these attempts, and return its error message."""
    job = run_to_its_end(bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT, **asked).job)  # type: ignore[arg-type]
    assert job.status == "failed"
    assert title in job.error_message
    assert job.error_code == code or not code
    assert len(job_services.attempts_of(job)) == attempts
    assert job.result is None
    assert files_of(orch.output_dir) == []
    assert list((orch.output_dir / ".staging").iterdir()) == []
    assert not Bundle.objects.exists()
    assert [event.action for event in Event.objects.all()] == ["job.failed", "bundle.create"]
    return str(job.error_message)


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
@pytest.mark.parametrize("service", TITLES)
def test_a_misbehaving_source_fails_the_job_which_names_it_and_no_bundle_is_made(orch, sources, service, misbehaviour):
    answer, code, attempts = MISBEHAVIOURS[misbehaviour]
    sources.answers[service] = answer
    fails(orch, code, TITLES[service], attempts)


def test_sources_that_are_down_fail_the_job_after_every_attempt(orch, sources):
    sources.stop()
    assert "cannot be reached" in fails(orch, "source_unavailable", TITLES["killchain"], 3)


def test_an_incident_that_no_source_knows_fails_the_job_at_the_first_attempt(orch, sources):
    job = run_to_its_end(bundle_services.request_bundle(SYSTEM, incident_id="never-heard-of").job)
    assert (job.status, job.error_code, job.attempts) == ("failed", "incident_unknown", 1)
    assert "never-heard-of" in job.error_message
    assert files_of(orch.output_dir) == []


@pytest.mark.django_db(transaction=True)
def test_a_source_that_comes_back_is_used_by_the_next_attempt(orch, sources):
    calls: list[str] = []

    def down_at_first(exchange: Exchange) -> bool:
        calls.append(exchange.path)
        return len(calls) < 3 and says(b"later", 503)(exchange)

    sources.answers["killchain"] = down_at_first
    made = bundle()
    assert job_of(made).attempts == 3
    assert made.complete
    assert files_of(orch.output_dir) == [made.name]


def test_content_that_always_breaks_off_leaves_no_bundle(orch, sources):
    def content_half(exchange: Exchange) -> bool:
        if not exchange.path.endswith("a-1/content"):
            return False
        return says(b"only this", length=len(FILES["a-1"][1]))(exchange)

    sources.answers["forensic"] = content_half
    fails(orch, "source_unavailable", TITLES["forensic"], 3)


def test_content_that_is_not_what_its_record_says_fails_the_job(orch, sources):
    def other_content(exchange: Exchange) -> bool:
        size = len(FILES["a-1"][1])
        return exchange.path.endswith("case-9.a-1/content") and says(b"x" * size, length=size)(exchange)

    sources.answers["forensic"] = other_content
    job = run_to_its_end(bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job)
    assert job.status == "failed"
    assert "case-9.a-1" in job.error_message
    assert files_of(orch.output_dir) == []
    assert not Bundle.objects.exists()


def test_a_partial_bundle_lists_what_is_missing_in_manifest_result_report_and_api(orch, sources):
    sources.answers["db"] = says(b"oops", 500)
    made = bundle(allow_partial=True)
    (gap,) = made.missing
    assert gap["source"] == "alerts"
    assert TITLES["db"] in gap["reason"]
    manifest = json.loads(bundle_services.manifest_of(SYSTEM, made.bundle_id))
    job = job_of(made)
    assert job.result is not None
    report = check_bundle(path_of(made), trusted_keys.trusted()).as_dict()
    for document in (manifest, job.result, report, bundle_services.as_dict(made)):
        assert (document["complete"], document["missing"]) == (False, [gap])
    assert report["verified"]
    assert "alerts.json" not in {entry["path"] for entry in manifest["files"]}
    assert Event.objects.get(action="bundle.published").outcome == "partial"


@pytest.mark.django_db(transaction=True)
def test_a_partial_bundle_lists_the_unavailable_artifact_and_restores_the_rest(orch, sources):
    def no_content(exchange: Exchange) -> bool:
        return exchange.path.endswith("case-9.a-4/content") and says({"error": "gone"}, 404)(exchange)

    sources.answers["forensic"] = no_content
    made = bundle(allow_partial=True)
    (gap,) = made.missing
    assert gap["path"].startswith("artifacts/case-9.a-4/")
    restored = restore(made)
    assert restored["missing"] == [gap]
    assert len(files_of(orch.forensic)) == len(FILES) - 1


def test_an_empty_partial_bundle_is_not_made(orch, sources):
    sources.stop()
    fails(orch, "source_unavailable", "KillChain", 3, allow_partial=True)
