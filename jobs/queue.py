"""The state machine: every change of a job's state is one statement in this file, and nowhere else.

Each statement names in its WHERE who may make the change and from which state, so that of two connections that race
one wins and the other is told. The database's clock decides leases and backoff. docs/job-lifecycle.md is the map.
"""
# ruff: noqa: S608 # statements are put together from constants of this file; every value is a parameter

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from jobs import prepared, wakeup
from jobs.errors import JobNotFoundError, LeaseLostError, StateConflictError
from jobs.intake import Enqueued, enqueue
from jobs.models import Job
from jobs.outcome import Finished
from jobs.storable import storable_json, storable_text

__all__ = [
    "Enqueued", "cancel", "claim", "complete", "enqueue", "fail", "free_stuck", "heartbeat", "honour_cancel",
    "recover_expired", "release", "report_progress", "retry",
]  # fmt: skip

BACKOFF_FIRST_S = 4.0
BACKOFF_MOST_S = 600.0

# Whoever holds the token of a lease that still runs. An expired lease is over even while nobody has taken the job:
# a worker that was frozen past it must not be able to finish, whatever the moment it wakes.
# IS TRUE keeps the planner from the index on states, where it would walk over what jobs that ran lately left behind.
MINE = """job_id = %(job_id)s AND lease_token = %(token)s AND (status = 'processing') IS TRUE
    AND lease_expires_at > clock_timestamp()"""
UNLEASED = "lease_token = NULL, lease_expires_at = NULL, worker_id = '', slot = NULL"
PROGRESS = """COALESCE(%(progress)s::jsonb || jsonb_build_object('updated_at',
        to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), progress)"""
CLOSE_ATTEMPT = """closed AS (
    UPDATE orchestrator_job_attempts attempt
    SET ended_at = clock_timestamp(), outcome = {outcome}, error_code = {code}, error_message = {message}
    FROM moved WHERE attempt.job_id = moved.job_id AND attempt.number = moved.attempts)"""

# NO KEY, here and in RECOVER: it keeps out every other change of the row, but not those who only refer to it. A request
# that names the job in its idempotency key checks that at COMMIT, and could not end while we wait for what it holds.
#
# Walks the partial index jobs_to_claim (order_at, job_id WHERE queued) and stops at the first row that is due, of a
# known type with a place left, fits on this host's disk, excludes no running job and is not locked by another claim.
# CASE keeps the look for a running job with the same key from becoming a join, which would not walk the index.
CLAIM = """
WITH next AS (
    SELECT job_id, job_type FROM orchestrator_jobs job
    WHERE status = 'queued' AND run_after <= statement_timestamp() AND job_type = ANY(%(types)s)
        AND (needs_bytes = 0 OR needs_bytes <= COALESCE((%(room)s::jsonb->>job_type)::bigint, needs_bytes))
        AND CASE WHEN exclusive_key IS NULL THEN true ELSE NOT EXISTS (
            SELECT FROM orchestrator_jobs other
            WHERE other.status = 'processing' AND other.exclusive_key = job.exclusive_key) END
        AND CASE WHEN %(limits)s::jsonb ? job_type THEN (
            SELECT count(*) FROM orchestrator_jobs other
            WHERE other.status = 'processing' AND other.job_type = job.job_type AND other.slot IS NOT NULL
            ) < (%(limits)s::jsonb->>job_type)::int ELSE true END
    ORDER BY order_at, job_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED),
moved AS (
    UPDATE orchestrator_jobs job
    SET status = 'processing', attempts = attempts + 1, worker_id = %(worker)s, started_at = clock_timestamp(),
        lease_token = gen_random_uuid(), lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s),
        progress = '{}', slot = CASE WHEN %(limits)s::jsonb ? next.job_type THEN (
            SELECT min(place) FROM generate_series(1, (%(limits)s::jsonb->>next.job_type)::int) place
            WHERE NOT EXISTS (SELECT FROM orchestrator_jobs other WHERE other.status = 'processing'
                AND other.job_type = next.job_type AND other.slot = place)) END
    FROM next WHERE job.job_id = next.job_id RETURNING job.*),
opened AS (
    INSERT INTO orchestrator_job_attempts
        (job_id, number, worker_id, lease_token, started_at, outcome, error_code, error_message)
    SELECT job_id, attempts, worker_id, lease_token, started_at, 'running', '', '' FROM moved)
SELECT to_json(moved)::text FROM moved"""

BEAT = f"""
UPDATE orchestrator_jobs
SET progress = {PROGRESS},
    lease_expires_at = CASE WHEN %(renew)s THEN clock_timestamp() + make_interval(secs => %(lease_s)s)
                            ELSE lease_expires_at END
WHERE {MINE} RETURNING to_json(orchestrator_jobs)::text"""

# A worker that is frozen inside the completing transaction holds the row's lock, so that nobody can recover the job:
# the server ends its session after a third of a lease.
COMPLETE = f"""
WITH moved AS (
    UPDATE orchestrator_jobs
    SET status = 'completed', completed_at = clock_timestamp(), result = %(result)s::jsonb,
        progress = {PROGRESS}, error_code = '', error_message = '', {UNLEASED}
    WHERE {MINE} RETURNING *),
{CLOSE_ATTEMPT.format(outcome="'completed'", code="''", message="''")}
SELECT to_json(moved)::text, set_config('idle_in_transaction_session_timeout', %(idle_ms)s, true) FROM moved"""

# The jitter (half to one and a half times the delay) keeps jobs that failed together from coming back together.
FAIL = f"""
WITH moved AS (
    UPDATE orchestrator_jobs
    SET status = CASE WHEN %(permanent)s OR retry_count + 1 >= max_retries THEN 'failed'
                      WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,
        completed_at = CASE WHEN %(permanent)s OR retry_count + 1 >= max_retries OR cancel_requested
                            THEN clock_timestamp() END,
        run_after = clock_timestamp()
            + make_interval(secs => (0.5 + random()) * LEAST(%(most_s)s, %(first_s)s * 2 ^ retry_count)),
        retry_count = retry_count + 1, error_code = %(code)s, error_message = %(message)s,
        needs_bytes = GREATEST(needs_bytes, %(needs_bytes)s), {UNLEASED}
    WHERE {MINE} RETURNING *),
{CLOSE_ATTEMPT.format(outcome="'failed'", code="%(code)s", message="%(message)s")}
SELECT to_json(moved)::text FROM moved"""

RELEASE = f"""
WITH moved AS (
    UPDATE orchestrator_jobs
    SET status = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,
        completed_at = CASE WHEN cancel_requested THEN clock_timestamp() END,
        run_after = clock_timestamp(), {UNLEASED}
    WHERE {MINE} RETURNING *),
{CLOSE_ATTEMPT.format(outcome="'released'", code="''", message="%(reason)s")}
SELECT to_json(moved)::text FROM moved"""

HONOUR_CANCEL = f"""
WITH moved AS (
    UPDATE orchestrator_jobs SET status = 'cancelled', completed_at = clock_timestamp(), {UNLEASED}
    WHERE {MINE} AND cancel_requested RETURNING *),
{CLOSE_ATTEMPT.format(outcome="'cancelled'", code="''", message="''")}
SELECT to_json(moved)::text FROM moved"""

CANCEL = """
UPDATE orchestrator_jobs
SET cancel_requested = (status = 'processing'),
    completed_at = CASE WHEN status = 'queued' THEN clock_timestamp() END,
    status = CASE WHEN status = 'queued' THEN 'cancelled' ELSE status END
WHERE job_id = %(job_id)s AND status IN ('queued', 'processing') RETURNING to_json(orchestrator_jobs)::text"""

RETRY = """
UPDATE orchestrator_jobs
SET status = 'queued', retry_count = 0, run_after = clock_timestamp(), completed_at = NULL, cancel_requested = false,
    error_code = '', error_message = '', progress = '{}'
WHERE job_id = %(job_id)s AND status IN ('failed', 'cancelled') RETURNING to_json(orchestrator_jobs)::text"""

# Walks jobs_leased. SKIP LOCKED passes over a job whose worker is just writing to it, completing it above all.
RECOVER = f"""
WITH expired AS (
    SELECT job_id FROM orchestrator_jobs
    WHERE status = 'processing' AND lease_expires_at <= statement_timestamp()
        AND (%(ids)s::uuid[] IS NULL OR job_id = ANY(%(ids)s::uuid[]))
    ORDER BY job_id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED),
moved AS (
    UPDATE orchestrator_jobs job
    SET status = CASE WHEN cancel_requested THEN 'cancelled' WHEN retry_count + 1 >= max_retries THEN 'failed'
                      ELSE 'queued' END,
        completed_at = CASE WHEN cancel_requested OR retry_count + 1 >= max_retries THEN clock_timestamp() END,
        error_code = CASE WHEN retry_count + 1 >= max_retries AND NOT cancel_requested THEN 'poison'
                          ELSE 'lease_expired' END,
        error_message = %(message)s, retry_count = retry_count + 1, run_after = clock_timestamp(), {UNLEASED}
    FROM expired WHERE job.job_id = expired.job_id RETURNING job.*),
{CLOSE_ATTEMPT.format(outcome="'lost'", code="'lease_expired'", message="%(message)s")}
SELECT to_json(moved)::text FROM moved"""

TAKEN_MEANWHILE = frozenset({"jobs_one_running_a_key", "jobs_one_running_a_slot"})


def claim(
    worker_id: str,
    job_types: Sequence[str],
    *,
    room: Mapping[str, int] | None = None,
    limits: Mapping[str, int] | None = None,
) -> Job | None:
    """Take the most urgent job that is due, if any.

    Args:
        worker_id: who will hold the lease; never empty.
        job_types: the types that this worker can do.
        room: bytes that jobs of a type may take on this host's disk; no bound for types that it does not name.
        limits: how many jobs of a type may run at once, on all hosts; no bound for types that it does not name.

    Returns:
        The job with its lease token, its attempt counted and opened; `None` when nothing can be claimed now.
    """
    values = {"types": list(job_types), "worker": worker_id, "lease_s": settings.ORCH_LEASE_SECONDS}
    bounds = {"room": json.dumps(dict(room or {})), "limits": json.dumps(dict(limits or {}))}
    while True:
        try:
            found = _rows(CLAIM, **values, **bounds)
        except IntegrityError as error:
            # Another claim took the last place, or a job with the same key, at the same moment: look again.
            if connection.in_atomic_block or _broken_rule(error) not in TAKEN_MEANWHILE:
                raise
            continue
        return found[0] if found else None


def heartbeat(job: Job, progress: dict[str, Any] | None = None, *, renew: bool = True) -> Job:
    """Renew the lease of a claimed job, store its progress, or both.

    Args:
        job: as `claim` returned it.
        progress: the new progress, when there is any.
        renew: whether to renew the lease; progress alone leaves the index on leases untouched.

    Returns:
        The job as it now is; its `cancel_requested` tells whether to stop.

    Raises:
        LeaseLostError: the lease is over. An expired lease is never renewed, even when nobody has taken the job yet.
    """
    stored = None if progress is None else json.dumps(storable_json(progress))
    return _mine(BEAT, job, progress=stored, renew=renew, lease_s=settings.ORCH_LEASE_SECONDS)


def report_progress(job: Job, progress: dict[str, Any]) -> Job:
    """Store progress without renewing the lease; see `heartbeat`."""
    return heartbeat(job, progress, renew=False)


def complete(job: Job, finished: Finished, progress: dict[str, Any] | None = None) -> Job:
    """Complete a claimed job and register its fruit, in one transaction.

    The row is locked from its first statement on: until COMMIT nobody can reclaim the job, even should the lease run
    out meanwhile. A lost answer to COMMIT surfaces as Django's OperationalError; `jobs.completion` settles it.

    Raises:
        LeaseLostError: the lease is over; nothing was written.
    """
    result = json.dumps(storable_json(finished.result))
    stored = None if progress is None else json.dumps(storable_json(progress))
    if finished.register is None:  # one statement is a transaction, and two round trips less
        return _mine(COMPLETE, job, result=result, progress=stored, idle_ms="0")
    # Inside a caller's transaction there is no limit: the setting would outlive this call.
    idle_ms = "0" if connection.in_atomic_block else str(settings.ORCH_LEASE_SECONDS * 1000 // 3)
    with transaction.atomic():
        done = _mine(COMPLETE, job, result=result, progress=stored, idle_ms=idle_ms)
        finished.register()
    return done


def fail(job: Job, code: str, message: str, *, permanent: bool = False, needs_bytes: int = 0) -> Job:
    """End a claimed job's attempt as failed: queued again with a later `run_after`, or failed for good.

    Args:
        job: as `claim` returned it.
        code: stable and documented.
        message: for a person; no secrets.
        permanent: no other attempt can help.
        needs_bytes: the room that the next attempt is expected to need, when it failed for want of room.

    Raises:
        LeaseLostError: the lease is over.
    """
    return _mine(
        FAIL, job, code=storable_text(code, limit=100) or "internal_error", message=storable_text(message),
        permanent=permanent, needs_bytes=needs_bytes, first_s=BACKOFF_FIRST_S, most_s=BACKOFF_MOST_S,
    )  # fmt: skip


def release(job: Job, reason: str = "the worker is shutting down") -> Job:
    """Give a claimed job back unharmed; the attempt does not count as a failed one.

    Raises:
        LeaseLostError: the lease is over.
    """
    released = _mine(RELEASE, job, reason=reason)
    wakeup.announce()
    return released


def honour_cancel(job: Job) -> Job:
    """End a claimed job whose cancelling was requested.

    Raises:
        LeaseLostError: the lease is over, or nobody asked.
    """
    return _mine(HONOUR_CANCEL, job)


def cancel(job_id: UUID) -> Job:
    """Cancel a queued job at once; ask for a processing one to be cancelled. Asking twice is no error.

    Raises:
        JobNotFoundError: there is no such job.
        StateConflictError: it has ended already.
    """
    found = _rows(CANCEL, job_id=job_id)
    return found[0] if found else _refuse(job_id, "cancelled")


def retry(job_id: UUID) -> Job:
    """Queue a failed or cancelled job again, with all its attempts.

    Raises:
        JobNotFoundError: there is no such job.
        StateConflictError: it is in another state, or another job is already doing the same.
    """
    try:
        with transaction.atomic():
            found = _rows(RETRY, job_id=job_id)
    except IntegrityError as error:
        raise StateConflictError("Another job is already doing the same; wait for it, or cancel it first.") from error
    if not found:
        _refuse(job_id, "retried")
    wakeup.announce()
    return found[0]


def recover_expired(limit: int = 100) -> list[Job]:
    """Return jobs whose lease has expired to the queue, or fail them as `poison` once their tries are used up."""
    return _recover(None, limit, "The worker died, froze or was cut off: its lease expired.")


def free_stuck(job_ids: Iterable[UUID] | None = None) -> list[Job]:
    """As `recover_expired`, for the given jobs (`None`: all); a job whose lease still runs is left alone."""
    ids = None if job_ids is None else list(job_ids)
    return _recover(ids, 10_000, "Freed by a person: the worker's lease had expired.")


def _recover(ids: list[UUID] | None, limit: int, message: str) -> list[Job]:
    recovered = _rows(RECOVER, ids=ids, limit=limit, message=message)
    if recovered:
        wakeup.announce()
    return recovered


def _rows(sql: str, **params: Any) -> list[Job]:
    # Rows come as JSON texts: the driver takes longer to describe thirty columns than the server to find a row.
    return [Job.of_json(row[0]) for row in prepared.run(sql, params)]


def _mine(sql: str, job: Job, **params: Any) -> Job:
    found = _rows(sql, job_id=job.job_id, token=job.lease_token, **params)
    if not found:
        raise LeaseLostError(f"The lease on job {job.job_id} is over; this worker may not write to it any more.")
    return found[0]


def _broken_rule(error: IntegrityError) -> str | None:
    """The name of the constraint or unique index that refused a statement."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)


def _refuse(job_id: UUID, done: str) -> NoReturn:
    state = Job.objects.filter(job_id=job_id).values_list("status", flat=True).first()
    if state is None:
        raise JobNotFoundError("There is no such job.")
    raise StateConflictError(f"The job is {state} and cannot be {done}.")
