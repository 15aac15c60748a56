"""Old jobs are removed in batches with all their rows; totals stay; a repeated request is answered for 30 days."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from custody import chain
from custody.models import Event
from foundation.errors import InvalidRequestError
from foundation.principal import SYSTEM
from jobs.models import Attempt, IdempotencyKey, Job, JobLogLine, JobTotal
from jobs.queue import queue, registry, retention
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import JobResult
from jobs.worker import sweeps

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _type() -> Iterator[None]:
    registry.register(registry.JobType(name="t", title="T", phases=("one",), handler=lambda _: JobResult({})))
    yield
    registry.unregister("t")


def ended(state: str, *, days_ago: float, key: str = "") -> Job:
    """A job that ended in `state` so many days ago."""
    job = queue.enqueue("t", {}, principal=SYSTEM, operation="test", idempotency_key=key).job
    if state == "cancelled":
        queue.cancel(job.job_id)
    else:
        claimed = queue.claim(ClaimRequest("worker", ("t",)))
        assert claimed is not None
        assert claimed.job_id == job.job_id
        JobLogLine.objects.create(job=claimed, at=timezone.now(), level="info", message="noted")
        if state == "completed":
            queue.complete(claimed, JobResult({}))
        else:
            queue.fail(claimed, "broken", "It broke.", permanent=True)
    then = timezone.now() - timedelta(days=days_ago)
    Job.objects.filter(job_id=job.job_id).update(created_at=then, completed_at=then)
    IdempotencyKey.objects.filter(job_id=job.job_id).update(created_at=then)
    return job


def kept() -> set[Any]:
    return set(Job.objects.values_list("job_id", flat=True))


def totals() -> dict[str, int]:
    found: dict[str, int] = {}
    for total in JobTotal.objects.all():
        found[total.status] = found.get(total.status, 0) + total.count
    return found


def test_the_sweep_removes_each_state_after_its_own_time_with_attempts_and_log(settings):
    settings.ORCH_KEEP_DAYS = {"completed": 10, "failed": 20, "cancelled": 0}
    ended("completed", days_ago=11)
    ended("failed", days_ago=21)
    stay = [ended("completed", days_ago=9), ended("failed", days_ago=11), ended("cancelled", days_ago=4000)]
    assert sweeps.run_all()["jobs.retention"] == 2
    assert kept() == {job.job_id for job in stay}
    assert Attempt.objects.count() == JobLogLine.objects.count() == 2
    assert retention.sweep() == 0


def test_jobs_that_have_not_ended_are_never_removed_however_old():
    waiting = queue.enqueue("t", {}, principal=SYSTEM, operation="test").job
    claimed = queue.claim(ClaimRequest("worker", ("t",)))
    second = queue.enqueue("t", {}, principal=SYSTEM, operation="test").job
    assert claimed is not None
    assert claimed.job_id == waiting.job_id
    Job.objects.update(created_at=timezone.now() - timedelta(days=4000))
    assert retention.sweep() == 0
    assert kept() == {waiting.job_id, second.job_id}
    with pytest.raises(InvalidRequestError):
        retention.purge(SYSTEM, "processing", 1)


def test_an_old_job_that_ended_recently_is_kept():
    job = ended("completed", days_ago=400)
    Job.objects.update(completed_at=timezone.now())
    assert retention.purge(SYSTEM, "completed", 1) == 0
    assert kept() == {job.job_id}


def test_totals_never_go_down():
    for state in ("completed", "failed", "cancelled"):
        ended(state, days_ago=400)
    before = totals()
    assert before == {"queued": 3, "processing": 2, "completed": 1, "failed": 1, "cancelled": 1}
    assert retention.sweep() == 3
    assert totals() == before


def test_batches_are_small_and_a_sweep_is_bounded(monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        ended("completed", days_ago=100 + number)
    assert retention.purge(SYSTEM, "completed", 90, most=3) == 4
    assert retention.purge(SYSTEM, "completed", 90) == 1
    assert [json.loads(event.details)["jobs"] for event in Event.objects.order_by("sequence")] == [2, 2, 1]


def test_each_batch_is_a_custody_event_with_actor_and_number():
    ended("failed", days_ago=300)
    assert retention.sweep() == 1
    event = Event.objects.get(action="job.purge")
    assert (event.actor, event.action, event.object_type) == ("system", "job.purge", "job")
    details = json.loads(event.details)
    assert (details["state"], details["jobs"], details["older_than_days"]) == ("failed", 1, 180)


def test_a_batch_that_cannot_be_recorded_in_custody_is_not_removed(monkeypatch):
    job = ended("failed", days_ago=300)

    def full(*_: object, **__: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(chain, "record", full)
    with pytest.raises(OSError, match="no space"):
        retention.sweep()
    assert kept() == {job.job_id}


def test_a_repeated_request_is_answered_for_thirty_days_though_its_job_is_kept_for_one(settings):
    settings.ORCH_KEEP_DAYS = {"completed": 1, "failed": 1, "cancelled": 1}
    job = ended("completed", days_ago=29, key="k")
    assert retention.sweep() == 0
    again = queue.enqueue("t", {}, principal=SYSTEM, operation="test", idempotency_key="k")
    assert (again.created, again.job.job_id) == (False, job.job_id)


def test_after_thirty_days_key_and_job_are_removed_and_the_same_request_is_new(settings):
    settings.ORCH_KEEP_DAYS = {"completed": 1, "failed": 1, "cancelled": 1}
    ended("completed", days_ago=31, key="k")
    assert retention.sweep() == 2
    assert queue.enqueue("t", {}, principal=SYSTEM, operation="test", idempotency_key="k").created


def test_an_old_key_is_removed_though_its_job_is_kept_for_ever(settings):
    settings.ORCH_KEEP_DAYS = {"completed": 0, "failed": 0, "cancelled": 0}
    jobs = [ended("completed", days_ago=31, key="old"), ended("completed", days_ago=29, key="young")]
    assert retention.sweep() == 1
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["young"]
    assert kept() == {job.job_id for job in jobs}


def test_a_job_that_another_connection_is_retrying_is_skipped():
    job, other = ended("failed", days_ago=300), ended("failed", days_ago=301)
    retried, purged = threading.Event(), threading.Event()

    def retry() -> None:
        try:
            with transaction.atomic():
                queue.retry(job.job_id)
                retried.set()
                assert purged.wait(timeout=240)
        finally:
            connection.close()

    thread = threading.Thread(target=retry)
    thread.start()
    assert retried.wait(timeout=240)
    try:
        assert retention.purge(SYSTEM, "failed", 90) == 1
    finally:
        purged.set()
        thread.join()
    assert kept() == {job.job_id}
    assert not Job.objects.filter(job_id=other.job_id).exists()
    assert Job.objects.get().status == "queued"


def test_two_hosts_that_purge_at_once_remove_each_job_once(monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(12):
        ended("completed", days_ago=100 + number)
    removed: list[int] = []

    def purge() -> None:
        try:
            removed.append(retention.purge(SYSTEM, "completed", 90))
        finally:
            connection.close()

    threads = [threading.Thread(target=purge) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    removed.append(retention.purge(SYSTEM, "completed", 90))
    assert sum(removed) == 12
    assert kept() == set()


@pytest.fixture
def orch_jobs(capsys) -> Any:
    def run(*arguments: str) -> list[dict[str, Any]]:
        call_command("orch_jobs", "--json", *arguments)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_the_command_previews_and_then_removes_as_the_settings_say(orch_jobs):
    ended("failed", days_ago=181)
    ended("completed", days_ago=91)
    young = ended("failed", days_ago=179)
    expected = {"completed": 1, "failed": 1, "cancelled": 0}
    assert {one["status"]: one["jobs"] for one in orch_jobs("purge", "--dry-run")} == expected
    assert len(kept()) == 3
    assert {one["status"]: one["jobs"] for one in orch_jobs("purge")} == expected
    assert kept() == {young.job_id}
    purged = Event.objects.exclude(action="job.failed")
    assert set(purged.values_list("action", "authenticated_by")) == {("job.purge", "shell")}


def test_the_command_takes_another_age_and_only_the_states_that_are_named(orch_jobs):
    failed, completed = ended("failed", days_ago=8), ended("completed", days_ago=8)
    (line,) = orch_jobs("purge", "--older-than-days", "7", "--status", "failed")
    assert line == {"status": "failed", "older_than_days": 7, "jobs": 1, "dry_run": False}
    assert kept() == {completed.job_id}
    assert failed.job_id not in kept()


def test_the_command_refuses_less_than_a_day(orch_jobs):
    job = ended("failed", days_ago=0.5)
    with pytest.raises(CommandError, match="invalid_request"):
        orch_jobs("purge", "--older-than-days", "0", "--status", "failed")
    assert kept() == {job.job_id}


def test_what_the_settings_keep_for_ever_is_not_removed_unless_an_age_is_given(settings, orch_jobs):
    settings.ORCH_KEEP_DAYS = {"completed": 0, "failed": 0, "cancelled": 0}
    ended("completed", days_ago=4000)
    assert [one["jobs"] for one in orch_jobs("purge", "--status", "completed")] == [0]
    assert [one["jobs"] for one in orch_jobs("purge", "--status", "completed", "--older-than-days", "3000")] == [1]
