"""A job that comes with the completion of another: as if completed and then claimed, and never instead of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from foundation.principal import SYSTEM
from jobs import services
from jobs.errors import LeaseLostError, PermanentError
from jobs.models import Attempt, Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult
from jobs.worker.attempt import perform
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.completion import complete_with_recovery

WORKER = ClaimRequest("worker", ("t",))


@pytest.fixture(autouse=True)
def _type() -> Iterator[None]:
    known("t")
    yield
    registry.unregister("t")


def known(name: str, handler: Any = lambda _: JobResult({})) -> None:
    registry.register(registry.JobType(name=name, title=name, phases=("one",), handler=handler))


def ask(**more: Any) -> Job:
    return queue.enqueue("t", {}, principal=SYSTEM, operation="test", **more).job


def claim(request: ClaimRequest = WORKER) -> Job:
    job = queue.claim(request)
    assert job is not None
    return job


@pytest.mark.django_db
def test_one_statement_completes_a_job_and_claims_the_most_urgent_of_the_others():
    ask()
    running = claim()
    later, urgent = ask(), ask(priority=500)
    with CaptureQueriesContext(connection) as caught:
        following = queue.succeed(running, JobResult({"n": 1}), WORKER, {"phase": "one"})
    assert len([one for one in caught.captured_queries if not one["sql"].startswith("PREPARE")]) == 1
    done = Job.objects.get(job_id=running.job_id)
    assert (done.status, done.result, done.progress["phase"], done.lease_token) == ("completed", {"n": 1}, "one", None)
    assert following is not None
    assert (following.job_id, following.status, following.attempts) == (urgent.job_id, "processing", 1)
    assert following.lease_token not in {None, running.lease_token}
    assert [attempt.outcome for attempt in services.attempts_of(running)] == ["completed"]
    assert [attempt.outcome for attempt in services.attempts_of(urgent)] == ["running"]
    assert Job.objects.get(job_id=later.job_id).status == "queued"
    queue.complete(following, JobResult({}))


@pytest.mark.django_db
def test_the_last_job_is_completed_and_nothing_follows():
    ask()
    assert queue.succeed(claim(), JobResult({}), WORKER) is None
    assert Job.objects.get().status == "completed"


@pytest.mark.django_db
def test_a_worker_whose_lease_is_over_completes_nothing_and_takes_nothing():
    ask()
    running, waiting = claim(), ask()
    Job.objects.filter(job_id=running.job_id).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(LeaseLostError):
        queue.succeed(running, JobResult({}), WORKER)
    assert Job.objects.get(job_id=running.job_id).status == "processing"
    untouched = Job.objects.get(job_id=waiting.job_id)
    assert (untouched.status, untouched.attempts) == ("queued", 0)
    assert not Attempt.objects.filter(job_id=waiting.job_id).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("more", "claimant"),
    [({"exclusive_key": "k"}, WORKER), ({}, ClaimRequest("worker", ("t",), limits={"t": 1}))],
    ids=["same key", "only place"],
)
def test_what_waited_for_this_job_to_end_is_left_for_the_next_claim(more, request):
    ask(**more)
    running, waiting = claim(request), ask(**more)
    assert queue.succeed(running, JobResult({}), request) is None
    assert claim(request).job_id == waiting.job_id


@pytest.mark.django_db
def test_a_job_of_an_unknown_type_or_without_room_does_not_follow():
    ask()
    running = claim()
    ask(needs_bytes=10)
    known("other")
    queue.enqueue("other", {}, principal=SYSTEM, operation="test")
    assert queue.succeed(running, JobResult({}), ClaimRequest("worker", ("t",), disk_space=lambda: {"t": 9})) is None
    registry.unregister("other")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("bound", ["limit", "key"])
def test_successions_that_race_keep_the_bound_and_lose_no_completion(bound):
    for number in range(40):
        ask(**({"exclusive_key": f"k{number % 3}"} if bound == "key" else {}))
    request = ClaimRequest("worker", ("t",), limits={"t": 2} if bound == "limit" else {})
    together = threading.Barrier(4)
    followed = threading.Semaphore(0)

    def work() -> int:
        done = 0
        together.wait(timeout=240)
        try:
            while Job.objects.filter(status="queued").exists():
                job = queue.claim(request)
                while job is not None:
                    job = queue.succeed(job, JobResult({}), request)
                    done += 1
                    if job is not None:
                        followed.release()
        finally:
            connection.close()
        return done

    with ThreadPoolExecutor(4) as pool:
        done = sum(future.result(timeout=240) for future in [pool.submit(work) for _ in range(4)])
    assert done == 40
    assert set(Job.objects.values_list("status", "attempts")) == {("completed", 1)}
    assert bound == "limit" or followed.acquire(blocking=False), "jobs with other keys follow at once"


@pytest.mark.django_db
def test_each_job_that_follows_is_performed_as_itself_and_none_follows_one_that_failed_or_registered():
    seen: list[tuple[str, int]] = []

    def handle(context: JobContext) -> JobResult:
        number = context.payload["n"]
        seen.append((str(context.job_id), number))
        if number == 1:
            raise PermanentError("broken", "It broke.")
        return JobResult({"n": number}, register=(lambda: None) if number == 2 else None)

    known("t", handle)
    jobs = [queue.enqueue("t", {"n": number}, principal=SYSTEM, operation="test").job for number in range(6)]
    chains = []
    while (job := queue.claim(WORKER)) is not None:
        length = 0
        while job is not None:
            length += 1
            reporter = AttemptReporter(job, ("one",), stopping=threading.Event(), direct=True)
            job = perform(job, reporter, request=lambda: WORKER)
        chains.append(length)
    assert seen == [(str(job.job_id), number) for number, job in enumerate(jobs)]
    assert chains == [2, 1, 3]
    ends = [Job.objects.get(job_id=job.job_id) for job in jobs]
    assert [(job.status, job.result) for job in ends] == [
        ("failed", None) if number == 1 else ("completed", {"n": number}) for number in range(6)
    ]
    assert len(set(Attempt.objects.values_list("lease_token"))) == 6


@pytest.mark.django_db
def test_whoever_leaves_takes_no_other_job_along():
    ask()
    waiting = ask()
    running = claim()
    assert perform(running, AttemptReporter(running, ("one",), stopping=threading.Event(), direct=True)) is None
    assert Job.objects.get(job_id=waiting.job_id).attempts == 0


@pytest.mark.django_db(transaction=True)
def test_a_cut_before_the_answer_loses_neither_the_completed_job_nor_the_one_that_followed():
    ask()
    running, waiting = claim(), ask()

    def cut(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if sql.startswith("EXECUTE") and waiting.job_id in claimed():
            connection.connection.close()
            raise OperationalError("the connection broke before the answer came")
        return answer

    def claimed() -> set[UUID]:
        with connection.connection.cursor() as cursor:
            cursor.execute("SELECT job_id::text FROM orchestrator_jobs WHERE status = 'processing'")
            return {UUID(row[0]) for row in cursor.fetchall()}

    with connection.execute_wrapper(cut):
        assert complete_with_recovery(running, JobResult({"n": 1}), None, request=WORKER) is None
    assert Job.objects.get(job_id=running.job_id).result == {"n": 1}
    left = Job.objects.get(job_id=waiting.job_id)
    assert (left.status, left.attempts) == ("processing", 1)
    Job.objects.filter(job_id=waiting.job_id).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert [job.job_id for job in queue.recover_expired()] == [waiting.job_id]
    assert claim().job_id == waiting.job_id
