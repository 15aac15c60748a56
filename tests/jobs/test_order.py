"""Which queued job is claimed next, and which waits: ageing, exclusion, limits, disk space; and what pages say."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.principal import SYSTEM
from jobs import waiting
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest, of_this_host
from jobs.queue.enqueue import POINT_S
from jobs.queue.job_result import JobResult
from jobs.worker.worker import run_one
from jobs.worker_registration import WorkerRegistration, live_workers

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _types() -> Iterator[None]:
    for name in ("t", "other"):
        registry.register(registry.JobType(name=name, title=name, phases=("one",), handler=lambda _: JobResult({})))
    yield
    for name in ("t", "other"):
        registry.unregister(name)


def ask(job_type: str = "t", **more: Any) -> Job:
    return queue.enqueue(job_type, {}, principal=SYSTEM, operation="test", **more).job


def claim(**more: Any) -> Job | None:
    return queue.claim(ClaimRequest("worker", ("t", "other"), **more))


def age(job: Job, seconds: float) -> None:
    """Make the job older by `seconds`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orchestrator_jobs SET created_at = created_at - make_interval(secs => %(s)s),"
            " order_at = order_at - make_interval(secs => %(s)s) WHERE job_id = %(job)s",
            {"s": seconds, "job": job.job_id},
        )


@pytest.mark.django_db
def test_a_flood_of_urgent_jobs_delays_a_less_urgent_one_but_not_for_ever():
    lesser = ask(priority=100)
    age(lesser, POINT_S * 100 + 60)
    urgent = [ask(priority=200) for _ in range(3)]
    assert claim() == lesser
    age(later := ask(priority=100), POINT_S * 100 - 60)
    assert [claim() for _ in range(4)] == [*urgent, later]


@pytest.mark.django_db(transaction=True)
@settings(max_examples=15, deadline=None)
@given(asked=st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 3000)), min_size=2, max_size=6, unique=True))
def test_claims_go_by_priority_and_age_where_a_point_is_worth_36_seconds(asked):
    Job.objects.all().delete()
    jobs = []
    for priority, older_s in asked:
        jobs.append((ask(priority=priority), priority * POINT_S + older_s))
        age(jobs[-1][0], older_s)
    found = [claim() for _ in jobs]
    ranks = {job.job_id: rank for job, rank in jobs}
    order = [ranks[job.job_id] for job in found if job is not None]
    assert len(order) == len(jobs)
    # The jobs were created within a few seconds of each other.
    assert all(later <= earlier + 5 for earlier, later in itertools.pairwise(order))


@pytest.mark.django_db
def test_of_jobs_with_the_same_key_one_runs_at_a_time_and_later_jobs_pass_the_others():
    first, second, free = ask(exclusive_key="restore i-1"), ask(exclusive_key="restore i-1"), ask()
    assert claim() == first
    assert claim() == free
    assert claim() is None
    queue.complete(Job.objects.get(job_id=first.job_id), JobResult({}))
    assert claim() == second


@pytest.mark.django_db
def test_the_database_itself_refuses_a_second_running_job_with_the_same_key_or_in_the_same_place():
    ask(exclusive_key="k")
    ask(exclusive_key="k")
    assert claim() is not None
    with pytest.raises(IntegrityError, match="jobs_one_running_a_key"), transaction.atomic():
        Job.objects.filter(status="queued").update(
            status="processing", attempts=1, worker_id="w", started_at=timezone.now(),
            lease_token="00000000-0000-0000-0000-000000000001", lease_expires_at=timezone.now(),
        )  # fmt: skip


@pytest.mark.django_db
def test_no_more_jobs_of_a_type_run_than_its_limit_and_other_types_go_on():
    for _ in range(3):
        ask()
    other = ask("other")
    held = [claim(limits={"t": 2}), claim(limits={"t": 2})]
    assert {job.slot for job in held if job} == {1, 2}
    assert claim(limits={"t": 2}) == other
    assert claim(limits={"t": 2}) is None
    assert held[0] is not None
    queue.release(held[0])
    again = claim(limits={"t": 2})
    assert again is not None
    assert again.slot == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("bound", ["limit", "key"])
def test_racing_claims_keep_the_bound_and_none_fails(bound):
    for _ in range(8):
        ask(**({"exclusive_key": "k"} if bound == "key" else {}))
    together = threading.Barrier(4)
    most = 1 if bound == "key" else 2
    running: list[int] = []

    def work() -> int:
        done = 0
        together.wait(timeout=240)
        try:
            while Job.objects.filter(status="queued").exists():
                job = claim(limits={"t": 2} if bound == "limit" else {})
                if job is None:
                    continue
                running.append(Job.objects.filter(status="processing").count())
                queue.complete(job, JobResult({}))
                done += 1
        finally:
            connection.close()
        return done

    with ThreadPoolExecutor(4) as pool:
        done = sum(future.result(timeout=240) for future in [pool.submit(work) for _ in range(4)])
    assert done == 8
    assert max(running) <= most
    assert not Job.objects.exclude(status="completed").exists()


@pytest.mark.django_db
def test_a_job_is_claimed_only_where_it_is_expected_to_fit():
    large, small, none = ask(needs_bytes=10 * GIB), ask(needs_bytes=GIB), ask()
    assert claim(disk_space=lambda: {"t": 2 * GIB}) == small
    assert claim(disk_space=lambda: {"t": -1}) == none
    assert claim(disk_space=lambda: {"t": 2 * GIB}) is None
    assert claim(disk_space=lambda: {"other": 0}) == large, "no bound for a type that is not named"


@pytest.mark.django_db
def test_an_attempt_that_failed_for_lack_of_disk_space_sets_what_the_next_one_needs():
    ask(needs_bytes=5)
    job = claim()
    assert job is not None
    assert queue.fail(job, "storage_full", "No space.", needs_bytes=700).needs_bytes == 700
    Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    assert claim(disk_space=lambda: {"t": 699}) is None
    assert claim(disk_space=lambda: {"t": 700}) is not None


@pytest.mark.django_db
def test_a_worker_asks_its_job_types_for_disk_space_and_writes_it_to_its_row():
    registry.register(
        registry.JobType(name="t", title="t", phases=("one",), handler=lambda _: JobResult({}), disk_space=lambda: 5)
    )
    ask(needs_bytes=6)
    assert run_one() is None
    fits = ask(needs_bytes=5)
    done = run_one()
    assert done is not None
    assert done.job_id == fits.job_id
    registration = WorkerRegistration()
    registration.announce()
    assert next(iter(live_workers())).room["t"] == 5


def test_the_free_disk_space_is_kept_for_half_a_second(monkeypatch):
    at, free = [100.0], [5]
    monkeypatch.setattr("jobs.queue.claim_request.time.monotonic", lambda: at[0])
    registry.register(
        registry.JobType(
            name="t", title="t", phases=("one",), handler=lambda _: JobResult({}), disk_space=lambda: free[0]
        )
    )
    request = of_this_host("worker")
    assert request.disk_space()["t"] == 5
    free[0] = 4
    at[0] += 0.4
    assert request.disk_space()["t"] == 5
    at[0] += 0.2
    assert request.disk_space()["t"] == 4
    assert of_this_host("another").disk_space()["t"] == 4


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> WorkerRegistration:
    """A live worker whose host has 3 GiB for jobs of type t."""
    monkeypatch.setattr(registry, "disk_space", lambda: {"t": 3 * GIB})
    registration = WorkerRegistration()
    registration.announce()
    return registration


@pytest.mark.django_db
def test_the_reason_why_a_job_waits_is_a_sentence(worker, settings):
    settings.ORCH_JOB_LIMITS = {"other": 1}
    assert waiting.reason(ask()) == ""
    assert "3.00 GiB" in waiting.reason(large := ask(needs_bytes=12 * GIB))
    assert worker.host in waiting.reason(large)
    assert "tried again at" in waiting.reason(ask(run_after=timezone.now() + timedelta(hours=1)))
    running = ask(exclusive_key="k", priority=900)
    claimed = claim()
    assert claimed == running
    assert waiting.reason(claimed) == "", "it does not wait"
    assert str(running.job_id) in waiting.reason(ask(exclusive_key="k"))
    ask("other", priority=900)
    assert claim(limits={"other": 1}) is not None
    assert "the limit is 1" in waiting.reason(ask("other"))
    worker.leave()
    assert "No worker is alive" in waiting.reason(large)
