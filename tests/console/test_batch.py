"""Batch actions: the preview says what will be touched and what will not, and exactly that is done."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bundles.models import Bundle
from custody.models import Event
from jobs.models import Job
from jobs.queue import queue
from tests.support import console_rows as rows
from tests.support.console_rows import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

BATCH = "/console/jobs/batch"
VERIFY = "/console/bundles/batch"


@pytest.fixture
def operator() -> Client:
    return signed_in("operator")


def preview(client: Client, query: str, address: str = BATCH) -> str:
    answer = client.get(f"{address}?{query}")
    text = str(answer.content.decode())
    assert answer.status_code == 200, text
    return text


def marked(*jobs: Job) -> str:
    return "&".join(f"job={job.job_id}" for job in jobs)


def fields(text: str) -> dict[str, list[str] | str]:
    """What the confirming form of a preview sends."""
    action = re.findall(r'name="action" value="(\w+)"', text)
    return {
        "job": re.findall(r'name="job" value="([^"]+)"', text),
        "bundle": re.findall(r'name="bundle" value="([^"]+)"', text),
        "action": action[0] if action else "",
    }


def confirm(client: Client, text: str, address: str = BATCH) -> str:
    answer = client.post(address, fields(text))
    assert answer.status_code == 200
    return str(answer.content.decode())


def state(job: Job) -> str:
    return str(Job.objects.get(job_id=job.job_id).status)


def test_home_frees_the_stuck_jobs_in_two_clicks(operator: Client) -> None:
    stuck = [rows.job("processing", lease_s=-60) for _ in range(3)]
    running = rows.job("processing", incident_id="busy")
    home = operator.get(reverse("home")).content.decode()
    link = re.search(r'href="([^"]+)">Free them…', home)
    assert link
    text = str(operator.get(link[1].replace("&amp;", "&")).content.decode())
    assert "3 jobs will change" in text
    assert str(running.job_id) not in text
    assert "3 done, 0 refused" in confirm(operator, text)
    assert [state(job) for job in stuck] == ["queued"] * 3
    assert state(running) == "processing"


def test_a_preview_changes_nothing_and_says_of_each_job_what_will_happen(operator: Client) -> None:
    stuck = rows.job("processing", lease_s=-60)
    last = rows.job("processing", lease_s=-60, retry_count=2, attempts=3)
    text = preview(operator, f"action=free_stuck&{marked(stuck, last)}")
    assert "Goes back to the queue." in text
    assert "Fails as poison: its last attempt is used up." in text
    assert "Nothing has changed yet." in text
    assert (state(stuck), state(last)) == ("processing", "processing")
    assert not Event.objects.exists()


@pytest.mark.parametrize("action", ["free_stuck", "retry"])
def test_a_running_job_with_a_valid_lease_is_never_freed_or_retried(operator: Client, action: str) -> None:
    running = rows.job("processing", lease_s=25)
    text = preview(operator, f"action={action}&{marked(running)}")
    assert "Nothing will change" in text
    assert "1 will not change" in text
    assert "lease" in text
    assert fields(text)["job"] == []
    forged = f"{running.job_id}.processing.1"
    answer = operator.post(BATCH, {"action": action, "job": [forged]}).content.decode()
    assert "0 done, 1 refused" in answer
    assert state(running) == "processing"


@pytest.mark.parametrize(
    ("action", "made", "reason"),
    [
        ("free_stuck", "queued", "no worker holds it"),
        ("free_stuck", "failed", "It has ended"),
        ("retry", "queued", "queued already"),
        ("retry", "completed", "make a copy of it"),
        ("cancel", "completed", "has ended already"),
        ("cancel", "cancelled", "has ended already"),
    ],
)
def test_what_will_not_be_touched_is_listed_with_the_reason(
    operator: Client, action: str, made: str, reason: str
) -> None:
    job = rows.job(made)
    text = preview(operator, f"action={action}&{marked(job)}")
    assert reason in text
    assert "None of the chosen jobs" in text


def test_retry_and_cancel_touch_exactly_what_was_previewed(operator: Client) -> None:
    failed, also_failed, queued = rows.job("failed"), rows.job("failed"), rows.job()
    text = preview(operator, f"action=retry&{marked(failed, queued)}")
    assert "1 done, 0 refused" in confirm(operator, text)
    assert (state(failed), state(also_failed), state(queued)) == ("queued", "failed", "queued")
    text = preview(operator, f"action=cancel&{marked(queued)}")
    assert "Is cancelled at once." in text
    assert "1 done, 0 refused" in confirm(operator, text)
    assert state(queued) == "cancelled"
    assert [event.action for event in Event.objects.order_by("sequence")] == ["job.retry", "job.cancel"]
    assert {event.object_id for event in Event.objects.all()} == {str(failed.job_id), str(queued.job_id)}


def test_a_job_that_changed_since_the_preview_is_refused_and_named(operator: Client) -> None:
    stays, changes = rows.job("failed"), rows.job("failed")
    text = preview(operator, f"action=retry&{marked(stays, changes)}")
    queue.retry(changes.job_id)
    queue.cancel(changes.job_id)  # it could be retried once more, but this is not what was previewed
    outcome = confirm(operator, text)
    assert "1 done, 1 refused" in outcome
    assert "It has changed since the preview" in outcome
    assert (state(stays), state(changes)) == ("queued", "cancelled")


def test_confirming_twice_does_it_once(operator: Client) -> None:
    job = rows.job("processing", lease_s=-60)
    text = preview(operator, f"action=free_stuck&{marked(job)}")
    assert "1 done, 0 refused" in confirm(operator, text)
    assert "0 done, 1 refused" in confirm(operator, text)
    assert Event.objects.filter(action="job.free").count() == 1


def test_of_jobs_that_do_the_same_only_one_is_retried(operator: Client) -> None:
    first, second = rows.job("failed", active_key="same"), rows.job("failed", active_key="same")
    text = preview(operator, f"action=retry&{marked(first, second)}")
    assert "1 job will change" in text
    assert "is already doing the same" in text
    assert "1 done, 0 refused" in confirm(operator, text)


def test_all_that_match_the_filter_are_taken_up_to_a_limit(operator: Client) -> None:
    now = timezone.now()
    Job.objects.bulk_create(
        Job(job_type="bundle_create", incident_id="many", created_at=now, run_after=now) for _ in range(110)
    )
    other = rows.job(incident_id="other")
    text = preview(operator, "action=cancel&scope=matching&incident_id=many&status=queued")
    assert "100 jobs will change" in text
    assert "only the first 100 are listed" in text
    assert "100 done, 0 refused" in confirm(operator, text)
    assert Job.objects.filter(status="cancelled").count() == 100
    assert state(other) == "queued"


def test_marks_count_unless_all_that_match_is_chosen(operator: Client) -> None:
    one, _ = rows.job("failed"), rows.job("failed")
    assert "1 job will change" in preview(operator, f"action=retry&scope=marked&status=failed&{marked(one)}")
    assert "2 jobs will change" in preview(operator, f"action=retry&scope=matching&status=failed&{marked(one)}")
    assert "Nothing was chosen" in preview(operator, "action=retry&scope=marked")


def test_a_batch_needs_its_permission_at_preview_and_at_confirmation() -> None:
    job = rows.job("failed")
    analyst = signed_in("analyst")
    assert analyst.get(f"{BATCH}?action=retry&{marked(job)}").status_code == 403
    ticket = f"{job.job_id}.failed.1"
    assert analyst.post(BATCH, {"action": "retry", "job": [ticket]}).status_code == 403
    assert state(job) == "failed"
    text = analyst.get(reverse("jobs-page")).content.decode()
    assert "Retry jobs…" not in text
    assert 'name="job"' not in text


@pytest.mark.parametrize("query", ["action=delete", "action=retry&job=x", ""])
def test_what_is_no_action_and_no_job_is_refused_in_words(operator: Client, query: str) -> None:
    answer = operator.get(f"{BATCH}?{query}")
    assert answer.status_code == 400
    assert "invalid_request" in answer.content.decode()


def test_each_preview_gives_the_equivalent_for_a_script(operator: Client) -> None:
    failed, stuck = rows.job("failed"), rows.job("processing", lease_s=-60)
    assert f"/jobs/{failed.job_id}/retry" in preview(operator, f"action=retry&{marked(failed)}")
    text = preview(operator, f"action=free_stuck&{marked(stuck)}")
    assert re.search(rf"orch_jobs free \\\s+{stuck.job_id}", text)


def test_a_preview_of_many_jobs_needs_few_queries(operator: Client, django_assert_max_num_queries: object) -> None:
    for _ in range(30):
        rows.job("failed")
    with django_assert_max_num_queries(12):  # type: ignore[operator] # a fixture of pytest-django
        preview(operator, "action=retry&scope=matching&status=failed")


def test_bundles_are_verified_together_after_a_preview() -> None:
    analyst = signed_in("analyst")
    one, two, lost, at_work = (rows.bundle(f"case-{n}") for n in range(4))
    Bundle.objects.filter(pk=lost.pk).update(state="lost")
    analyst.post(reverse("bundle-page", args=[at_work.bundle_id]))
    query = "&".join(f"bundle={bundle.bundle_id}" for bundle in (one, two, lost, at_work))
    text = preview(analyst, query, VERIFY)
    assert "2 bundles will be verified" in text
    assert "2 will not change" in text
    assert "Its file is lost" in text
    assert "A verification is already running" in text
    assert f"/bundles/{one.bundle_id}/verify" in text
    outcome = confirm(analyst, text, VERIFY)
    assert "2 queued, 0 refused" in outcome
    assert "0 queued, 2 refused" in confirm(analyst, text, VERIFY)
    asked = Event.objects.filter(action="bundle.verify").values_list("object_id", flat=True)
    assert sorted(asked) == sorted(str(bundle.bundle_id) for bundle in (one, two, at_work))


def test_all_bundles_that_match_the_filter_are_previewed() -> None:
    analyst = signed_in("analyst")
    rows.verification(rows.bundle("done"))
    rows.bundle("open")
    assert "1 bundle will be verified" in preview(analyst, "scope=matching&verdict=unverified", VERIFY)
    assert signed_in("viewer").get(VERIFY).status_code == 403
