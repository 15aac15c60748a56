"""The state machine on a real PostgreSQL: who may make which transition, and what the database itself refuses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from custody.models import Event
from foundation.errors import InvalidRequestError
from foundation.principal import SYSTEM, Principal
from jobs import services
from jobs.errors import JobNotFoundError, LeaseLostError, StateConflictError
from jobs.models import Attempt, Job, JobTotal
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import JobResult

pytestmark = pytest.mark.django_db

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
A_TOKEN = uuid.UUID(int=1)


@pytest.fixture(autouse=True)
def _type() -> Iterator[None]:
    registry.register(registry.JobType(name="t", title="T", phases=("one", "two"), handler=lambda _: JobResult({})))
    yield
    registry.unregister("t")


def ask(**more: Any) -> Job:
    return queue.enqueue("t", {}, principal=SYSTEM, operation="test", **more).job


def claim() -> Job:
    job = queue.claim(ClaimRequest("worker", ("t",)))
    assert job is not None
    return job


def state(job: Job) -> str:
    return str(Job.objects.get(job_id=job.job_id).status)


def expire(job: Job) -> None:
    Job.objects.filter(job_id=job.job_id).update(lease_expires_at=timezone.now() - timedelta(hours=1))


def due(job: Job) -> None:
    Job.objects.filter(job_id=job.job_id).update(run_after=timezone.now() - timedelta(hours=1))


def rule_of(error: IntegrityError) -> str:
    return str(error.__cause__.diag.constraint_name or "")  # type: ignore[union-attr] # psycopg2's


def in_state(wanted: str) -> Job:
    job = ask()
    if wanted != "queued":
        job = claim()
    if wanted == "completed":
        queue.complete(job, JobResult({}))
    elif wanted == "failed":
        queue.fail(job, "broken", "It broke.", permanent=True)
    elif wanted == "cancelled":
        queue.cancel(job.job_id)
        queue.honour_cancel(job)
    return job


def test_higher_priority_is_claimed_first_then_the_older():
    low, old, young, high = ask(priority=1), ask(), ask(), ask(priority=500)
    assert [claim().job_id for _ in range(4)] == [high.job_id, old.job_id, young.job_id, low.job_id]
    assert queue.claim(ClaimRequest("worker", ("t",))) is None


def test_a_claim_counts_the_attempt_and_gives_a_lease_from_the_database_clock():
    ask()
    job = claim()
    assert (job.status, job.attempts, job.retry_count, job.worker_id) == ("processing", 1, 0, "worker")
    assert job.lease_token is not None
    assert job.lease_expires_at is not None
    assert job.started_at is not None
    assert abs(job.lease_expires_at - job.started_at - timedelta(seconds=30)) < timedelta(seconds=1)
    assert [attempt.outcome for attempt in services.attempts_of(job)] == ["running"]


def test_a_job_of_a_type_the_worker_does_not_know_or_one_not_yet_due_is_not_claimed():
    ask(run_after=timezone.now() + timedelta(hours=1))
    assert queue.claim(ClaimRequest("worker", ("t",))) is None
    ask()
    assert queue.claim(ClaimRequest("worker", ("another",))) is None
    assert queue.claim(ClaimRequest("worker", ())) is None


def test_a_failed_attempt_goes_back_with_growing_delay_and_fails_after_three():
    job = ask()
    delays = []
    for _ in range(2):
        failed = queue.fail(claim(), "source_unavailable", "The source is down.")
        assert failed.status == "queued"
        assert failed.error_code == "source_unavailable"
        delays.append((failed.run_after - timezone.now()).total_seconds())
        assert queue.claim(ClaimRequest("worker", ("t",))) is None
        due(job)
    assert 1.9 < delays[0] < 6.1
    assert 3.9 < delays[1] < 12.1
    last = queue.fail(claim(), "source_unavailable", "The source is down.")
    assert (last.status, last.retry_count, last.attempts) == ("failed", 3, 3)
    assert last.completed_at is not None
    assert [attempt.outcome for attempt in services.attempts_of(job)] == ["failed"] * 3


def test_a_permanent_error_fails_at_once():
    ask()
    failed = queue.fail(claim(), "incident_unknown", "No such incident.", permanent=True)
    assert (failed.status, failed.retry_count) == ("failed", 1)


def test_a_job_that_kills_its_worker_three_times_fails_as_poison_with_each_death_in_its_history():
    job = ask()
    for _ in range(3):
        expire(claim())
        assert [recovered.job_id for recovered in queue.recover_expired()] == [job.job_id]
    failed = Job.objects.get(job_id=job.job_id)
    assert (failed.status, failed.error_code, failed.attempts) == ("failed", "poison", 3)
    history = services.attempts_of(job)
    assert [(one.outcome, one.error_code) for one in history] == [("lost", "lease_expired")] * 3


def test_a_running_lease_is_neither_recovered_nor_freed():
    ask()
    job = claim()
    assert queue.recover_expired() == []
    with pytest.raises(StateConflictError):
        services.free_stuck(SYSTEM, [job.job_id])
    assert services.free_stuck(SYSTEM) == []
    queue.heartbeat(job)


def test_stuck_jobs_are_freed_by_id_or_all_at_once_and_custody_records_it():
    for _ in range(3):
        ask()
    claimed = [claim() for _ in range(3)]
    for job in claimed[:2]:
        expire(job)
    stuck = services.listed(SYSTEM, status=services.STUCK).items
    assert {job.job_id for job in stuck} == {job.job_id for job in claimed[:2]}
    assert [job.job_id for job in services.free_stuck(SYSTEM, [str(claimed[0].job_id)])] == [claimed[0].job_id]
    assert [job.job_id for job in services.free_stuck(SYSTEM)] == [claimed[1].job_id]
    freed = Event.objects.filter(action="job.free").values_list("object_id", flat=True)
    assert set(freed) == {str(job.job_id) for job in claimed[:2]}


@pytest.mark.parametrize("reclaimed", [False, True], ids=["not claimed again", "claimed again"])
def test_a_worker_whose_lease_is_over_can_write_nothing(reclaimed):
    ask()
    old = claim()
    expire(old)
    if reclaimed:
        queue.recover_expired()
        claim()
    registered: list[int] = []
    for write in (
        lambda: queue.heartbeat(old),
        lambda: queue.report_progress(old, {"phase": "two"}),
        lambda: queue.complete(old, JobResult({}, register=lambda: registered.append(1))),
        lambda: queue.fail(old, "x", "x"),
        lambda: queue.release(old),
        lambda: queue.honour_cancel(old),
    ):
        with pytest.raises(LeaseLostError):
            write()
    assert registered == []
    assert state(old) == "processing"


def test_a_released_attempt_does_not_count_and_the_job_can_be_claimed_at_once():
    ask()
    for number in range(1, 6):
        job = claim()
        assert (job.attempts, job.retry_count) == (number, 0)
        assert queue.release(job).status == "queued"


def test_completing_registers_in_the_same_transaction_or_not_at_all():
    ask()
    job = claim()

    def register() -> None:
        JobTotal.objects.create(job_type="made by register", status="queued")
        raise ValueError("the registration failed")

    with pytest.raises(ValueError, match="the registration failed"):
        queue.complete(job, JobResult({}, register=register))
    assert state(job) == "processing"
    assert not JobTotal.objects.filter(job_type="made by register").exists()
    queue.complete(job, JobResult({"made": "é\x00"}))
    done = Job.objects.get(job_id=job.job_id)
    assert (done.status, done.result, done.lease_token) == ("completed", {"made": "é%00"}, None)


def test_cancelling_a_queued_job_is_immediate_and_a_running_one_is_asked():
    queued = ask()
    assert services.cancel(SYSTEM, queued.job_id).status == "cancelled"
    ask()
    running = claim()
    asked = services.cancel(SYSTEM, running.job_id)
    assert (asked.status, asked.cancel_requested) == ("processing", True)
    assert services.cancel(SYSTEM, running.job_id).cancel_requested
    assert queue.heartbeat(running).cancel_requested
    assert queue.honour_cancel(running).status == "cancelled"


def test_a_worker_cannot_cancel_a_job_without_a_request():
    ask()
    with pytest.raises(LeaseLostError):
        queue.honour_cancel(claim())


@pytest.mark.parametrize("end", ["release", "fail", "expire"])
def test_a_cancel_request_is_honoured_however_the_attempt_ends(end):
    ask()
    job = claim()
    queue.cancel(job.job_id)
    if end == "release":
        queue.release(job)
    elif end == "fail":
        queue.fail(job, "x", "x")
    else:
        expire(job)
        queue.recover_expired()
    assert state(job) == "cancelled"


def test_a_job_that_finished_before_it_noticed_the_request_is_completed():
    ask()
    job = claim()
    queue.cancel(job.job_id)
    queue.complete(job, JobResult({}))
    assert state(job) == "completed"


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_a_manual_retry_gives_all_attempts_again(ended):
    job = in_state(ended)
    again = services.retry(SYSTEM, job.job_id)
    assert (again.status, again.retry_count, again.error_code, again.cancel_requested) == ("queued", 0, "", False)
    assert claim().attempts == 2


@pytest.mark.parametrize(
    ("wanted", "act"),
    [
        ("completed", services.cancel), ("failed", services.cancel), ("cancelled", services.cancel),
        ("queued", services.retry), ("processing", services.retry), ("completed", services.retry),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)  # fmt: skip
def test_an_illegal_transition_raises_and_changes_nothing(wanted, act):
    job = in_state(wanted)
    with pytest.raises(StateConflictError):
        act(SYSTEM, job.job_id)
    assert state(job) == wanted


def test_a_retry_is_refused_while_an_equal_job_is_active():
    job = ask(active_key="incident-1")
    queue.fail(claim(), "x", "x", permanent=True)
    ask(active_key="incident-1")
    with pytest.raises(StateConflictError):
        services.retry(SYSTEM, job.job_id)


def test_an_unknown_job_is_not_found():
    for unknown in (uuid.uuid4(), "no uuid", "\x00"):
        for act in (services.get, services.cancel, services.retry):
            with pytest.raises(JobNotFoundError):
                act(SYSTEM, unknown)


def test_nobody_without_the_right_may_see_or_change_a_job():
    from foundation.errors import AccessDeniedError

    nobody = Principal(name="nobody", authenticated_by="session")
    job = ask()
    for act in (services.get, services.cancel, services.retry, lambda who, _: services.free_stuck(who)):
        with pytest.raises(AccessDeniedError):
            act(nobody, job.job_id)
    assert state(job) == "queued"


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("", {"status": "done"}),  # the trigger's: there is no such move
        ("", {"lease_token": A_TOKEN}),  # the trigger's: a token changes only with a move
        ("job_lease_exactly_while_processing", {"lease_expires_at": LONG_AGO}),
        ("job_lease_exactly_while_processing", {"worker_id": "w"}),
        ("job_lease_exactly_while_processing", {"status": "processing", "attempts": 1}),
        ("job_ended_exactly_when_over", {"completed_at": LONG_AGO}),
        ("job_ended_exactly_when_over", {"status": "cancelled"}),
        ("job_retries_within_limit", {"retry_count": -1}),
        ("job_retries_within_limit", {"retry_count": 1}),
        ("job_retries_within_limit", {"max_retries": 101}),
        ("job_active_has_a_try_left", {"max_retries": 1, "retry_count": 1, "attempts": 1}),
        ("job_result_exactly_when_completed", {"result": {}}),
        ("job_values_are_objects", {"progress": []}),
        ("job_values_are_objects", {"payload": 1}),
        ("job_queued_is_wanted", {"cancel_requested": True}),
        ("job_priority_in_range", {"priority": 1001}),
        ("job_type_named", {"job_type": ""}),
        ("job_slot_only_while_processing", {"slot": 1}),
        ("job_needs_no_negative_room", {"needs_bytes": -1}),
    ],
    ids=str,
)
def test_the_database_refuses_a_queued_job_that_breaks_a_rule_and_names_it(rule, values):
    job = ask()
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        Job.objects.filter(job_id=job.job_id).update(**values)
    assert rule_of(refused.value) == rule


def test_the_database_refuses_a_new_job_in_an_unknown_state():
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        Job.objects.create(job_type="t", status="done", created_at=LONG_AGO, run_after=LONG_AGO)
    assert rule_of(refused.value) == "job_status_known"


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("job_lease_exactly_while_processing", {"status": "queued"}),
        ("", {"lease_token": A_TOKEN}),  # the trigger's: a token changes only with a move
        ("", {"lease_token": None}),
        ("job_retries_within_limit", {"retry_count": -1}),
        ("job_active_has_a_try_left", {"retry_count": 3, "attempts": 3}),
        ("job_slot_only_while_processing", {"slot": 0}),
        ("job_started_when_claimed", {"started_at": None}),
    ],
    ids=str,
)
def test_the_database_refuses_a_running_job_that_breaks_a_rule_and_names_it(rule, values):
    job = in_state("processing")
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        Job.objects.filter(job_id=job.job_id).update(**values)
    assert rule_of(refused.value) == rule


@pytest.mark.parametrize(
    ("rule", "ended", "values"),
    [
        ("job_failed_says_why", "failed", {"error_code": ""}),
        ("job_completed_without_error", "completed", {"error_code": "x"}),
        ("job_result_exactly_when_completed", "completed", {"result": None}),
        ("job_started_when_claimed", "completed", {"started_at": None}),
    ],
)
def test_the_database_refuses_an_ended_job_that_breaks_a_rule_and_names_it(rule, ended, values):
    job = in_state(ended)
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        Job.objects.filter(job_id=job.job_id).update(**values)
    assert rule_of(refused.value) == rule


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("attempt_outcome_known", {"outcome": "done", "ended_at": LONG_AGO}),
        ("attempt_ended_exactly_when_over", {"ended_at": LONG_AGO}),
        ("attempt_ended_exactly_when_over", {"outcome": "completed"}),
        ("attempt_failure_says_why", {"outcome": "failed", "ended_at": LONG_AGO}),
        ("attempt_numbered_from_one", {"number": 0}),
    ],
    ids=str,
)
def test_the_database_refuses_an_attempt_that_breaks_a_rule_and_names_it(rule, values):
    job = in_state("processing")
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        Attempt.objects.filter(job_id=job.job_id).update(**values)
    assert rule_of(refused.value) == rule


def test_the_database_itself_refuses_to_reopen_a_completed_job():
    job = in_state("completed")
    with pytest.raises(IntegrityError, match="completed cannot become queued"), transaction.atomic():
        Job.objects.filter(job_id=job.job_id).update(status="queued", completed_at=None, result=None)


@pytest.mark.parametrize(
    "bad",
    [
        {"payload": {"a": "\x00"}}, {"payload": {"\x00": 1}}, {"payload": {"a": ["\ud800"]}}, {"payload": {"a": 1e999}},
        {"payload": {"a": {1, 2}}}, {"idempotency_key": "\x00"}, {"idempotency_key": "k" * 201}, {"priority": 1001},
        {"priority": -1001}, {"priority": True}, {"priority": "1"}, {"active_key": "\x00"}, {"incident_id": "\x00"},
        {"request_body": {"a": "\x00"}}, {"job_type": "unknown"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_request_that_cannot_be_stored_is_refused(bad):
    asked = {"job_type": "t", "payload": {}, "principal": SYSTEM, "operation": "test", **bad}
    with pytest.raises(InvalidRequestError):
        queue.enqueue(**asked)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orchestrator_jobs")
        assert cursor.fetchone() == (0,)


def test_a_payload_nested_without_end_is_refused():
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InvalidRequestError):
        queue.enqueue("t", deep, principal=SYSTEM, operation="test")


def test_totals_count_every_entry_into_a_state_and_survive_a_purge():
    in_state("completed")
    in_state("failed")
    Job.objects.all().delete()
    totals: dict[str, int] = {}
    for total in JobTotal.objects.filter(job_type="t"):
        totals[str(total.status)] = totals.get(str(total.status), 0) + total.count
    assert totals == {"queued": 2, "processing": 2, "completed": 1, "failed": 1}


def test_totals_of_a_change_that_was_rolled_back_do_not_count():
    with transaction.atomic():
        ask()
        assert JobTotal.objects.exists()
        transaction.set_rollback(True)
    assert not JobTotal.objects.exists()


def test_the_list_is_paged_by_key_and_filtered():
    jobs = [ask(incident_id=f"incident-{number % 2}") for number in range(5)]
    queue.cancel(jobs[0].job_id)
    first = services.page(SYSTEM, limit=3)
    second = services.page(SYSTEM, limit=3, cursor=first.next)
    assert [job.job_id for job in first.items + second.items] == [job.job_id for job in reversed(jobs)]
    assert second.next == ""
    assert [job.job_id for job in services.page(SYSTEM, status="cancelled").items] == [jobs[0].job_id]
    assert len(services.page(SYSTEM, incident_id="incident-1", job_type="t").items) == 2
    assert services.page(SYSTEM, incident_id="\x00").items == []
    with pytest.raises(InvalidRequestError):
        services.page(SYSTEM, status="done")
