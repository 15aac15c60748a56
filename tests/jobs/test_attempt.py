"""One attempt in this process: what a handler may do, and how its job ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone

from foundation.principal import SYSTEM, Principal
from jobs import job_json, services, workers
from jobs.errors import LeaseLostError, PermanentError, RetryableError, StoppingError
from jobs.models import Job, Worker
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult
from jobs.worker import sweeps
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.heartbeat_thread import HeartbeatThread
from jobs.worker.progress import ProgressTracker
from jobs.worker.worker import drain, run_one
from jobs.worker_registration import WorkerRegistration, forget_departed

pytestmark = pytest.mark.django_db


@pytest.fixture
def handle() -> Iterator[Callable[[Callable[[JobContext], JobResult]], Job]]:
    """Queues one job for the given handler."""

    def queue_one(handler: Callable[[JobContext], JobResult]) -> Job:
        registry.register(registry.JobType(name="t", title="T", phases=("fetching", "packing"), handler=handler))
        anna = Principal(name="anna", authenticated_by="session")
        return queue.enqueue("t", {"a": 1}, principal=anna, operation="test", incident_id="incident-1").job

    yield queue_one
    registry.unregister("t")


def report_for_ever(context: JobContext) -> JobResult:
    while True:
        context.progress("packing", 1)


def run() -> Job:
    job = run_one()
    assert job is not None
    return job


def test_a_handler_gets_its_job_and_its_result_is_kept(handle):
    def handler(context: JobContext) -> JobResult:
        assert (context.payload, context.incident_id, context.attempt) == ({"a": 1}, "incident-1", 1)
        assert context.principal.name == "anna"
        context.progress("packing", 5, 10, note="file")
        return JobResult({"token": str(context.lease_token)})

    handle(handler)
    done = run()
    assert job_json.as_dict(done)["status"] == "completed"
    assert done.result is not None
    assert done.progress["phase"] == "packing"
    assert (done.progress["done"], done.progress["total"], done.progress["note"]) == (5, 10, "file")
    assert done.progress["updated_at"].endswith("Z")
    assert run_one() is None


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (PermanentError("incident_unknown", "No such incident."), "failed", "incident_unknown"),
        (RetryableError("source_unavailable", "It is down."), "queued", "source_unavailable"),
        (ZeroDivisionError("it is \x00 zero"), "queued", "internal_error"),
        (LeaseLostError("over"), "processing", ""),
        (StoppingError("stopping"), "queued", ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_a_handler_raises_decides_the_state_of_its_job(handle, error, state, code):
    def handler(context: JobContext) -> JobResult:
        raise error

    job = handle(handler)
    ended = run()
    assert (ended.job_id, ended.status, ended.error_code) == (job.job_id, state, code)


def test_a_handler_notices_a_cancel_request_at_its_next_progress(handle):
    def handler(context: JobContext) -> JobResult:
        services.cancel(SYSTEM, context.job_id)
        return report_for_ever(context)

    handle(handler)
    assert job_json.as_dict(run())["status"] == "cancelled"


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_breaks_while_an_attempt_is_closed_costs_no_attempt(handle, monkeypatch):
    handle(
        lambda context: context.check() or (_ for _ in ()).throw(RetryableError("source_unavailable", "It is down."))
    )
    whole, calls = queue.fail, []

    def broken_once(*arguments, **more):
        calls.append(1)
        if len(calls) == 1:  # psycopg2's error for a session that a stopping server has ended
            raise DatabaseError("server closed the connection unexpectedly")
        return whole(*arguments, **more)

    monkeypatch.setattr(queue, "fail", broken_once)
    run()
    assert len(calls) == 2
    assert [attempt.outcome for attempt in services.attempts_of(Job.objects.get())] == ["failed"]


def test_a_handler_whose_lease_is_over_is_stopped_and_publishes_nothing(handle):
    seen: list[str] = []

    def handler(context: JobContext) -> JobResult:
        Job.objects.filter(job_id=context.job_id).update(lease_expires_at=timezone.now() - timedelta(hours=1))
        with pytest.raises(LeaseLostError):
            report_for_ever(context)
        return JobResult({}, register=lambda: seen.append("registered"), discard=lambda: seen.append("discarded"))

    handle(handler)
    assert job_json.as_dict(run())["status"] == "processing"
    assert seen == ["discarded"]


def test_log_lines_are_kept_per_job_up_to_a_bound(handle):
    def handler(context: JobContext) -> JobResult:
        for number in range(600):
            context.log("info", f"line {number}", number=number, odd="\x00")
        raise PermanentError("broken", "It broke.")

    job = handle(handler)
    run()
    lines = services.log_of(job, limit=1000)
    assert len(lines) == 500
    assert (lines[-1].level, lines[-1].message) == ("error", "It broke.")
    assert (lines[-2].message, lines[-2].fields) == ("line 599", {"number": 599, "odd": "%00"})


def test_progress_never_goes_backwards_and_an_unknown_phase_is_an_error():
    tracker = ProgressTracker(("fetching", "packing"))
    for phase, done, total in (("fetching", 9, 10), ("packing", 4, None), ("fetching", 10, 10), ("packing", 2, 3)):
        tracker.update(phase, done, total, "bytes", "")
    now = tracker.take()
    assert (now["phase"], now["done"], now["total"]) == ("packing", 4, 4)
    with pytest.raises(ValueError, match="no phase"):
        tracker.update("flying", 0, None, "bytes", "")


def test_progress_is_stored_at_most_twice_a_second(handle):
    writes: list[int] = []

    def handler(context: JobContext) -> JobResult:
        give_up_at = time.monotonic() + 1.2
        last = None
        while time.monotonic() < give_up_at:
            context.progress("packing", len(writes))
            stored = Job.objects.get(job_id=context.job_id).progress.get("updated_at")
            if stored != last:
                last = stored
                writes.append(1)
        return JobResult({})

    handle(handler)
    run()
    assert 1 <= len(writes) <= 3


def test_drain_performs_every_job_that_is_due(handle):
    for _ in range(5):
        handle(lambda _: JobResult({}))
    assert drain() == 5
    assert services.counts() == {"queued": 0, "processing": 0}


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_thread_renews_a_lease_and_finds_a_cancel_request(handle, settings):
    settings.ORCH_LEASE_SECONDS, settings.ORCH_HEARTBEAT_SECONDS = 2, 1
    handle(lambda _: JobResult({}))
    registration, stopping = WorkerRegistration(), threading.Event()
    job = queue.claim(ClaimRequest(registration.worker_id, ("t",)))
    assert job is not None
    reporter = AttemptReporter(job, ("packing",), stopping=stopping, direct=False)
    thread = HeartbeatThread(registration, stopping)
    thread.watch(reporter)
    thread.start()
    assert job.lease_expires_at is not None
    while not Job.objects.filter(job_id=job.job_id, lease_expires_at__gt=job.lease_expires_at).exists():
        time.sleep(0.02)
    queue.cancel(job.job_id)
    while not reporter.cancelled:
        time.sleep(0.02)
    assert [worker.current_job for worker in workers.page(SYSTEM).items] == [job.job_id]
    thread.rest()
    thread.stop()
    queue.honour_cancel(job)


def test_a_worker_without_a_heartbeat_is_not_listed_and_later_removed():
    registration = WorkerRegistration()
    registration.announce()
    assert len(workers.page(SYSTEM).items) == 1
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert workers.page(SYSTEM).items == []
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(hours=2))
    assert forget_departed() == 1


def test_a_failed_sweep_does_not_stop_the_others(monkeypatch):
    monkeypatch.setattr(sweeps, "_sweeps", {})

    def broken() -> int:
        raise OSError("the disk is away")

    sweeps.register("broken", broken)
    sweeps.register("sound", lambda: 3)
    assert sweeps.run_all() == {"sound": 3}
