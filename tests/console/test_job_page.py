"""The page of a job: its next step, its life, its log and its custody."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bundles import services as bundle_services
from bundles.sources import dependency_status
from custody.models import Event
from foundation.principal import SYSTEM
from jobs import services, waiting
from jobs.models import Attempt, Job, JobLogLine
from jobs.worker.worker import run_one
from orchestrator_site.errors import catalogue
from tests.support import console_rows as rows
from tests.support.console_rows import signed_in
from tests.support.main_job import INCIDENT, bundle, change_a_byte, finished, job_of, path_of, run_to_its_end, sources

__all__ = ["sources"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]


@pytest.fixture
def operator() -> Client:
    return signed_in("operator")


def page_of(job: Job) -> str:
    return reverse("job-page", args=[job.job_id])


def shown(client: Client, job: Job) -> str:
    answer = client.get(page_of(job))
    assert answer.status_code == 200
    return str(answer.content.decode())


def element(text: str, element_id: str) -> str:
    """The start tag with this id; empty when there is none."""
    found = re.search(rf'<[^>]*\bid="{element_id}"[^>]*>', text)
    return html.unescape(found[0]) if found else ""


def failed(code: str, **fields: Any) -> Job:
    return rows.job("failed", error_code=code, error_message="why", **fields)


@pytest.mark.parametrize(
    ("code", "first", "leads_to"),
    [
        ("incident_unknown", catalogue.CHANGE_ID, "/console/bundles/new?incident_id=incident-123"),
        ("key_untrusted", catalogue.KEYS, "/console/keys"),
        ("signer_unknown", catalogue.KEYS, "/console/keys"),
        ("storage_full", catalogue.STORAGE, "/#storage"),
        ("source_unavailable", catalogue.WHEN_AVAILABLE, "retry_when_available"),
    ],
)
def test_the_first_button_of_a_failed_job_fits_its_error(
    operator: Client, code: str, first: str, leads_to: str
) -> None:
    text = shown(operator, failed(code))
    assert leads_to in element(text, "do-first")
    assert catalogue.BUTTONS[first] in text
    assert text.index('id="do-first"') < text.index('id="do-retry"')


def test_the_first_button_is_to_retry_where_nothing_else_has_to_be_done(operator: Client) -> None:
    text = shown(operator, failed("internal_error"))
    assert element(text, "do-first") == ""
    assert 'value="retry"' in element(text, "do-retry")


def test_a_viewer_is_offered_nothing_that_changes_something() -> None:
    for code in ("incident_unknown", "source_unavailable", "internal_error"):
        text = shown(signed_in("viewer"), failed(code, incident_id=code))
        assert [element(text, name) for name in ("do-first", "do-retry", "do-copy", "do-partial")] == [""] * 4


def test_retrying_a_permanent_error_asks_first_and_then_leads_back_to_the_job(operator: Client) -> None:
    job = failed("source_rejected")
    link = re.search(r'href="([^"]+)"', element(shown(operator, job), "do-retry"))
    assert link
    preview = operator.get(link[1]).content.decode()
    assert catalogue.PERMANENT in html.unescape(preview)
    assert Job.objects.get().status == "failed"
    ticket = re.search(r'name="job" value="([^"]+)"', preview)
    assert ticket
    answer = operator.post(reverse("jobs-batch"), {"action": "retry", "to": "job", "job": ticket[1]})
    assert (answer.status_code, answer["Location"]) == (302, page_of(job))
    assert Job.objects.get().status == "queued"


def test_similar_ids_that_have_a_bundle_are_offered_and_those_of_failed_jobs_are_not(operator: Client) -> None:
    rows.bundle("incident-1234")
    rows.bundle("INCIDENT-124")
    rows.bundle("unlike")
    failed("incident_unknown", incident_id="incident-122")
    job = failed("incident_unknown", incident_id="incident-123")
    text = shown(operator, job)
    offered = [element(text, f"near-{number}") for number in (1, 2, 3)]
    assert [re.findall(r"incident_id=([^\"]+)", one) for one in offered] == [["incident-1234"], ["INCIDENT-124"], []]
    assert "Similar ids" not in shown(operator, failed("incident_unknown", incident_id="zebra"))


def test_a_job_waits_until_the_sources_answer_and_runs_then(operator: Client, settings: Any, sources: Any) -> None:
    answering = settings.DB_API_URL
    settings.DB_API_URL = "http://127.0.0.1:9"  # nothing listens there
    job = run_to_its_end(bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job)
    assert (job.status, job.error_code) == ("failed", "source_unavailable")
    assert "Waiting" in operator.post(page_of(job), {"action": "retry_when_available"}, follow=True).content.decode()
    job.refresh_from_db()
    assert (job.status, job.waits_for) == ("queued", dependency_status.SOURCES)
    assert "the sources answer" in waiting.reason(job)
    due = job.run_after
    dependency_status.sweep()
    job.refresh_from_db()
    assert job.run_after > due, "it waits on while a source is down"
    assert run_one() is None
    settings.DB_API_URL = answering
    dependency_status.sweep()
    done = run_one()
    assert done is not None
    assert (done.job_id, done.status, done.waits_for) == (job.job_id, "completed", "")


def test_a_retry_that_may_wait_does_not_when_the_sources_answer(operator: Client, sources: Any) -> None:
    job = failed("source_unavailable", incident_id=INCIDENT)
    operator.post(page_of(job), {"action": "retry_when_available"})
    job.refresh_from_db()
    assert (job.status, job.waits_for) == ("queued", "")
    assert services.cancel(SYSTEM, job.job_id).status == "cancelled"


def test_a_completed_job_offers_what_comes_next_by_role(sources: Any, operator: Client) -> None:
    made = bundle()
    job = job_of(made)
    steps = ("do-download", "do-verify", "do-hand-over", "do-restore", "do-ask")

    def offered(client: Client) -> list[str]:
        text = shown(client, job)
        return [step for step in steps if element(text, step)]

    assert offered(operator) == ["do-download", "do-hand-over", "do-restore"], "its verification is queued"
    assert 'id="to-verification"' in shown(operator, job)
    services.cancel(SYSTEM, Job.objects.get(job_type="bundle_verify").job_id)
    assert offered(operator) == list(steps[:-1])
    assert offered(signed_in("analyst")) == ["do-download", "do-verify", "do-hand-over", "do-ask"]
    assert offered(signed_in("viewer")) == ["do-hand-over"]
    finished(bundle_services.request_verification(SYSTEM, made.bundle_id).job)
    assert offered(operator) == ["do-download", "do-hand-over", "do-restore"]
    assert "Verified" in shown(operator, job)


def test_the_life_of_a_job_shows_each_attempt_and_phase_with_its_duration(operator: Client) -> None:
    start = timezone.now() - timedelta(minutes=10)
    job = rows.job(
        "completed", created_at=start, started_at=start + timedelta(seconds=60), attempts=2,
        completed_at=start + timedelta(seconds=100), result={},
    )  # fmt: skip
    Attempt.objects.all().delete()
    for number, began, ended, outcome, phases in (
        (1, 20, 30, "failed", {"fetching": 1.0}),
        (2, 60, 100, "completed", {"fetching": 0.0, "packing": 25.0, "publishing": 39.0}),
    ):
        Attempt.objects.create(
            job=job, number=number, worker_id=f"host/{number}", lease_token=uuid4(), outcome=outcome, phases=phases,
            started_at=start + timedelta(seconds=began), ended_at=start + timedelta(seconds=ended),
            error_code="source_unavailable" if outcome == "failed" else "", error_message="why",
        )  # fmt: skip
    life = operator.get(page_of(job)).context["life"]
    assert [(row.what, row.took) for row in life.rows] == [
        ("Requested and queued", ""),
        ("In the queue", "20 s"),
        ("Attempt 1", "10 s"),
        ("Starting", "1.0 s"),
        ("Fetching", "9.0 s"),
        ("Failed", ""),
        ("Until the next attempt", "30 s"),
        ("Attempt 2", "40 s"),
        ("Fetching", "25 s"),
        ("Packing", "14 s"),
        ("Publishing", "1.0 s"),
        ("Completed", ""),
    ]
    assert [part.end for part in life.parts] == ["", "", "failed", "", "", "", "completed"]
    assert life.parts[-1].right == pytest.approx(640, abs=1)
    assert life.words == "50 s in the queue or between attempts, 50 s in 2 attempts."


def test_a_worker_reports_its_phases_and_they_stay_with_the_attempt(sources: Any, operator: Client) -> None:
    job = job_of(bundle())
    (attempt,) = services.attempts_of(job)
    assert sorted(attempt.phases, key=attempt.phases.__getitem__) == ["fetching", "packing", "signing", "publishing"]
    assert "Publishing" in shown(operator, job)


def test_a_line_of_the_log_is_a_sentence_with_its_values_folded(operator: Client) -> None:
    job = rows.job("processing")
    fields = {"sha256": rows.sha("x"), "used_bytes": 3 << 20, "files": 1200, "name": rows.HOSTILE}
    JobLogLine.objects.create(job=job, at=timezone.now(), level="warning", message="it was slow", fields=fields)
    text = shown(operator, job)
    assert "It was slow" in text
    assert "sha256=" not in text
    assert rows.sha("x") not in text, "a digest is shown in groups"
    for words in ("Warning", "3.0 MiB", "1,200", "⟨U+202E⟩"):
        assert words in text


def test_custody_of_a_job_ends_with_its_outcome(sources: Any, operator: Client) -> None:
    made = bundle()
    created = job_of(made)
    verified = Job.objects.get(job_type="bundle_verify")
    finished(verified)
    change_a_byte(path_of(made))
    not_verified = bundle_services.request_verification(SYSTEM, made.bundle_id).job
    finished(not_verified)
    unknown = run_to_its_end(bundle_services.request_bundle(SYSTEM, incident_id="no-such").job)
    assert unknown.error_code == "incident_unknown"

    def custody_of(job: Job) -> list[tuple[str, str]]:
        return [(event.action, event.outcome) for event in reversed(operator.get(page_of(job)).context["events"])]

    assert custody_of(created) == [
        ("bundle.create", "requested"), ("bundle.published", "ok"), ("bundle.verify", "requested"),
    ]  # fmt: skip
    assert custody_of(verified) == [("bundle.verify", "requested"), ("bundle.verified", "ok")]
    assert [action for action, _ in custody_of(not_verified)] == ["bundle.verify", "bundle.verify_failed"]
    assert custody_of(unknown) == [("bundle.create", "requested"), ("job.failed", "incident_unknown")]
    assert Event.objects.filter(action="job.failed").count() == 1


def test_every_control_of_the_live_part_has_an_id_so_that_an_update_keeps_the_focus(operator: Client) -> None:
    job = rows.job("processing", incident_id=INCIDENT)
    JobLogLine.objects.create(job=job, at=timezone.now(), level="info", message="m", fields={"a": 1})
    for one in (job, failed("source_unavailable"), failed("incident_unknown"), rows.job("queued")):
        part = operator.get(page_of(one), headers={"HX-Request": "true"}).content.decode()
        controls = re.findall(r'<(?:a|button|summary|input(?! type="hidden"))\b[^>]*>|<[^>]*tabindex[^>]*>', part)
        assert controls
        nameless = [tag for tag in controls if " id=" not in tag and 'class="no-js"' not in tag]
        assert [tag for tag in nameless if 'type="hidden"' not in tag] == []
