"""Racing connections: of two that want the same thing, one gets it and the other gets an error or the same job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
from django.db import connection, transaction
from django.utils import timezone

from custody import chain
from foundation.principal import SYSTEM, Principal
from jobs import services
from jobs.errors import IdempotencyKeyReusedError, JobError, LeaseLostError, StateConflictError
from jobs.models import IdempotencyKey, Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import Enqueued, JobResult

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _type() -> Iterator[None]:
    registry.register(registry.JobType(name="t", title="T", phases=("one",), handler=lambda _: JobResult({})))
    yield
    registry.unregister("t")


def ask(**more: Any) -> Job:
    return queue.enqueue("t", {}, principal=SYSTEM, operation="test", **more).job


def at_once(*calls: Callable[[], T]) -> list[T | JobError]:
    """The result or error of each call; all start together, each on its own connection."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | JobError:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            together.wait(timeout=240)
            return call()
        except JobError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def enqueue(**more: Any) -> Callable[[], Enqueued]:
    asked: dict[str, Any] = {"payload": {"a": 1}, "principal": SYSTEM, "operation": "test", **more}
    return lambda: queue.enqueue("t", **asked)


def test_fifty_equal_requests_at_once_give_one_job():
    answers = at_once(*[enqueue(idempotency_key="k") for _ in range(50)])
    made = [answer for answer in answers if isinstance(answer, Enqueued)]
    assert len(made) == 50
    assert sum(answer.created for answer in made) == 1
    assert len({answer.job.job_id for answer in made}) == Job.objects.count() == 1


def test_fifty_requests_with_the_same_active_key_and_different_keys_give_one_job():
    answers = at_once(*[enqueue(idempotency_key=f"k{n}", active_key="incident-1") for n in range(50)])
    made = [answer for answer in answers if isinstance(answer, Enqueued)]
    assert sum(answer.created for answer in made) == 1
    assert len(made) == 50
    assert Job.objects.count() == 1
    assert set(IdempotencyKey.objects.values_list("job_id", flat=True)) == {made[0].job.job_id}


def test_of_two_different_requests_with_one_key_one_is_refused():
    answers = at_once(enqueue(idempotency_key="k"), enqueue(idempotency_key="k", payload={"a": 2}))
    assert sorted(type(answer).__name__ for answer in answers) == ["Enqueued", IdempotencyKeyReusedError.__name__]
    assert Job.objects.count() == 1


def test_keys_of_different_people_and_operations_are_independent():
    other = Principal(name="other", authenticated_by="session")
    for more in ({}, {"operation": "other"}, {"principal": other}):
        assert enqueue(idempotency_key="k", **more)().created


def test_a_request_that_meets_a_stuck_job_and_a_person_who_frees_it_do_not_block_each_other():
    job = ask(active_key="incident-1")
    assert queue.claim(ClaimRequest("worker", ("t",))) is not None
    Job.objects.filter(job_id=job.job_id).update(lease_expires_at=timezone.now() - timedelta(hours=1))

    def free() -> list[Job]:
        try:
            return services.free_stuck(SYSTEM, [job.job_id])
        finally:
            connection.close()

    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert enqueue(active_key="incident-1", idempotency_key="k")().job.job_id == job.job_id
            chain.record(SYSTEM, "bundle.create", "job", str(job.job_id))
            freed = pool.submit(free)
            with connection.cursor() as cursor:
                while cursor.execute(waiting) or not cursor.fetchone():
                    assert not freed.done()
        jobs = freed.result(timeout=240)
    assert [(one.job_id, one.status) for one in jobs] == [(job.job_id, "queued")]


def test_a_key_is_free_again_once_its_transaction_was_rolled_back():
    with transaction.atomic():
        enqueue(idempotency_key="k")()
        transaction.set_rollback(True)
    assert enqueue(idempotency_key="k")().created


def test_ten_claimers_share_thirty_jobs_without_ever_getting_the_same():
    for _ in range(30):
        ask()

    def claim_all() -> list[Job]:
        claimed = []
        while (job := queue.claim(ClaimRequest(threading.current_thread().name, ("t",)))) is not None:
            claimed.append(job)
        return claimed

    shares = at_once(*[claim_all] * 10)
    ids = [job.job_id for share in shares if isinstance(share, list) for job in share]
    assert len(ids) == len(set(ids)) == 30


def test_of_a_cancel_and_a_claim_at_once_either_wins_and_the_end_is_legal():
    for _ in range(15):
        job = ask()
        at_once(partial(queue.cancel, job.job_id), partial(queue.claim, ClaimRequest("worker", ("t",))))
        now = Job.objects.get(job_id=job.job_id)
        legal = {("cancelled", False, 0), ("processing", True, 1)}
        # SKIP LOCKED may skip a job that is being cancelled; a cancel waits for the claim.
        assert (now.status, now.cancel_requested, now.attempts) in legal
        Job.objects.filter(job_id=job.job_id).delete()


def test_of_a_completion_and_a_recovery_at_once_exactly_one_wins():
    outcomes = set()
    for number in range(15):
        ask()
        job = queue.claim(ClaimRequest("worker", ("t",)))
        assert job is not None
        if number % 2:
            Job.objects.filter(job_id=job.job_id).update(lease_expires_at=timezone.now() - timedelta(hours=1))
        registered: list[int] = []
        finished = JobResult({}, register=partial(registered.append, 1))
        completed, recovered = at_once(partial(queue.complete, job, finished), queue.recover_expired)
        won = completed is None
        assert won == (recovered == []) == (registered == [1])
        outcomes.add(won)
        Job.objects.all().delete()
    assert outcomes == {True, False}


def test_of_twenty_retries_at_once_one_wins():
    job = ask()
    claimed = queue.claim(ClaimRequest("worker", ("t",)))
    assert claimed is not None
    queue.fail(claimed, "x", "x", permanent=True)
    answers = at_once(*[lambda: services.retry(SYSTEM, job.job_id)] * 20)
    assert sum(isinstance(answer, Job) for answer in answers) == 1
    assert sum(isinstance(answer, StateConflictError) for answer in answers) == 19


def test_a_job_whose_completing_transaction_is_open_cannot_be_claimed():
    ask()
    job = queue.claim(ClaimRequest("worker", ("t",)))
    assert job is not None
    during: list[Any] = []

    def register() -> None:
        during.extend(at_once(queue.recover_expired, lambda: queue.claim(ClaimRequest("other", ("t",)))))

    queue.complete(job, JobResult({}, register=register))
    assert during == [[], None]
    with pytest.raises(LeaseLostError):
        queue.release(job)
