"""The queue: claim, renew, complete, fail, release, cancel, retry and recover jobs, each by one transition.

A worker that writes to a job which is no longer its own gets `LeaseLostError`. A person who asks for what the job's
state forbids gets `StateConflictError`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from custody import chain
from foundation import db_session, prepared_statements
from foundation.principal import Principal
from foundation.storable_text import storable_json, storable_text
from jobs.errors import JobNotFoundError, LeaseLostError, StateConflictError
from jobs.models import Job
from jobs.queue import transitions, wakeup
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.enqueue import enqueue
from jobs.queue.job_result import JobResult

__all__ = [
    "cancel", "claim", "complete", "enqueue", "fail", "free_stuck", "heartbeat", "honour_cancel",
    "postpone_waiting", "recover_expired", "release", "release_waiting", "report_progress", "retry",
]  # fmt: skip

BACKOFF_FIRST_S = 4.0
BACKOFF_MOST_S = 600.0
LONGEST_WAIT_S = 3600.0  # that a handler may ask for, on the word of a source
WAIT_S = 900.0  # a dependency is checked every 5 minutes (jobs.worker.upkeep)

TAKEN_MEANWHILE = frozenset({"jobs_one_running_a_key", "jobs_one_running_a_slot"})


def claim(request: ClaimRequest) -> Job | None:
    """Take the most urgent job that is due, if any.

    Returns:
        The job with its lease token and a new attempt; `None` when nothing can be claimed now.
    """
    while True:
        try:
            found = _rows(transitions.CLAIM, **request.parameters())
        except IntegrityError as error:
            # Another claim took the last place, or a job with the same key, at the same moment: try again.
            if not _was_taken_meanwhile(error):
                raise
            continue
        return found[0] if found else None


def heartbeat(job: Job, progress: dict[str, Any] | None = None, *, renew: bool = True) -> Job:
    """Renew the lease of a claimed job, store its progress, or both.

    Args:
        job: as `claim` returned it.
        progress: the new progress, if any.
        renew: whether to renew the lease; storing progress alone does not touch the index on leases.

    Returns:
        The job as it is now; `cancel_requested` is whether to stop.

    Raises:
        LeaseLostError: the lease is over. An expired lease is never renewed, even if no other worker has taken the job.
    """
    return _update_owned(
        transitions.HEARTBEAT, job, progress=_stored(progress), renew=renew, lease_s=settings.ORCH_LEASE_SECONDS
    )


def report_progress(job: Job, progress: dict[str, Any]) -> Job:
    """Store progress without renewing the lease; see `heartbeat`."""
    return heartbeat(job, progress, renew=False)


def complete(job: Job, result: JobResult, progress: dict[str, Any] | None = None) -> None:
    """Complete a claimed job and register its result, in one transaction.

    The first statement locks the row: until COMMIT no other connection can recover the job, even if the lease expires
    meanwhile. A lost answer to COMMIT raises Django's OperationalError; `jobs.worker.completion` handles it.

    Raises:
        LeaseLostError: the lease is over; nothing was written.
    """
    values = {
        "job_id": job.job_id,
        "token": job.lease_token,
        "result": _stored(result.result),
        "progress": _stored(progress),
        "freed": _notify_if_others_wait(job),
        "idle_ms": _idle_ms(),
    }
    with transaction.atomic():
        _raise_if_lease_lost(job, prepared_statements.run(transitions.COMPLETE, values))
        if result.register is not None:
            result.register()


def fail(
    job: Job, code: str, message: str, *, permanent: bool = False, needs_bytes: int = 0, not_before_s: float = 0
) -> Job:
    """End a claimed job's attempt as failed: queued again with a later `run_after`, or failed and recorded in custody.

    Args:
        job: as `claim` returned it.
        code: stable and documented.
        message: for a person; no secrets.
        permanent: whether no other attempt can succeed.
        needs_bytes: disk space that the next attempt is expected to need, when this one failed for lack of it.
        not_before_s: how many seconds from now the next attempt may begin at the earliest; an hour at most.

    Raises:
        LeaseLostError: the lease is over.
    """
    idle_ms = _idle_ms()
    with transaction.atomic():
        failed = _update_owned(
            transitions.FAIL, job, code=storable_text(code, limit=100) or "internal_error",
            message=storable_text(message), permanent=permanent, needs_bytes=needs_bytes,
            not_before_s=min(not_before_s, LONGEST_WAIT_S), first_s=BACKOFF_FIRST_S, most_s=BACKOFF_MOST_S,
            freed=_notify_if_others_wait(job), channel=wakeup.channel(), idle_ms=idle_ms,
        )  # fmt: skip
        _record_failure(failed)
    return failed


def release(job: Job, reason: str = "the worker is shutting down") -> Job:
    """Return a claimed job to the queue; the attempt does not count as failed.

    Raises:
        LeaseLostError: the lease is over.
    """
    released = _update_owned(transitions.RELEASE, job, reason=reason)
    wakeup.announce()
    return released


def honour_cancel(job: Job) -> Job:
    """End a claimed job whose cancelling was requested.

    Raises:
        LeaseLostError: the lease is over, or cancelling was not requested.
    """
    return _update_owned(transitions.HONOUR_CANCEL, job, freed=_notify_if_others_wait(job))


def cancel(job_id: UUID) -> Job:
    """Cancel a queued job at once; request it for a processing one. A second request is no error.

    Raises:
        JobNotFoundError: there is no such job.
        StateConflictError: it has ended already.
    """
    found = _rows(transitions.CANCEL, job_id=job_id)
    return found[0] if found else _refuse(job_id, "cancelled")


def retry(job_id: UUID, *, waits_for: str = "") -> Job:
    """Queue a failed or cancelled job again, with all its attempts.

    Args:
        job_id: the job.
        waits_for: the dependency that it waits for; `release_waiting` ends the wait, or else `WAIT_S` do.

    Raises:
        JobNotFoundError: there is no such job.
        StateConflictError: it is in another state, or another job is already doing the same.
    """
    try:
        with transaction.atomic():
            delay_s = WAIT_S if waits_for else 0.0
            found = _rows(transitions.RETRY, job_id=job_id, waits_for=waits_for, delay_s=delay_s)
    except IntegrityError as error:
        raise StateConflictError("Another job is already doing the same; wait for it, or cancel it first.") from error
    if not found:
        _refuse(job_id, "retried")
    wakeup.announce()
    return found[0]


def release_waiting(waits_for: str) -> list[Job]:
    """Let the jobs that wait for a dependency run now, as it is available."""
    released = _rows(transitions.RELEASE_WAITING, waits_for=waits_for)
    if released:
        wakeup.announce()
    return released


def postpone_waiting(waits_for: str) -> list[Job]:
    """Let the jobs that wait for a dependency wait for another `WAIT_S`, as it is not available."""
    return _rows(transitions.POSTPONE_WAITING, waits_for=waits_for, delay_s=WAIT_S)


def recover_expired(limit: int = 100) -> list[Job]:
    """Return jobs whose lease has expired to the queue, or fail them as `poison` once their attempts are used up."""
    died = "The worker died, froze or was cut off from the database: its lease expired."
    lives = "The lease expired, although the worker process lives: it was held up for longer than the lease."
    return _recover(None, limit, died, lives)


def next_expiry_s() -> float | None:
    """Seconds until the first lease of a running job expires if none is renewed; None when no job runs."""
    with connection.cursor() as cursor:
        cursor.execute(transitions.NEXT_EXPIRY)
        found = cursor.fetchone()[0]
    return None if found is None else float(found)


def free_stuck(job_ids: Iterable[UUID] | None = None) -> list[Job]:
    """As `recover_expired`, for the given jobs (`None`: all); a job with a valid lease is left alone."""
    ids = None if job_ids is None else list(job_ids)
    freed = "Freed by a person: the worker's lease had expired."
    return _recover(ids, 10_000, freed, freed)


def _recover(ids: list[UUID] | None, limit: int, died: str, lives: str) -> list[Job]:
    idle_ms = _idle_ms()
    with transaction.atomic():
        recovered = _rows(
            transitions.RECOVER, ids=ids, limit=limit, died=died, lives=lives, lease_s=settings.ORCH_LEASE_SECONDS,
            idle_ms=idle_ms,
        )  # fmt: skip
        for job in recovered:
            _record_failure(job)
        if recovered:
            wakeup.announce()
    return recovered


def _record_failure(job: Job) -> None:
    """Record in custody that a job failed, in the transaction that ends it; a job that is queued again has not."""
    if not job.is_failed:
        return
    chain.record(
        Principal(name=job.requested_by or "system", authenticated_by="system", permissions=None),
        "job.failed",
        "job",
        str(job.job_id),
        incident_id=job.incident_id,
        outcome=job.error_code,
        details={"job_type": job.job_type, "attempts": job.attempts},
    )


def _idle_ms() -> str | None:
    """The idle limit of the transaction that is about to begin; None inside a caller's, whose limit stays as it is."""
    return None if connection.in_atomic_block else str(db_session.idle_in_completion_s() * 1000)


def _rows(sql: str, /, **params: Any) -> list[Job]:
    # Rows come as JSON texts: decoding thirty columns takes the driver longer than the server needs to find the row.
    return [Job.of_json(row[0]) for row in prepared_statements.run(sql, params)]


def _update_owned(sql: str, job: Job, **params: Any) -> Job:
    found = _rows(sql, job_id=job.job_id, token=job.lease_token, **params)
    _raise_if_lease_lost(job, found)
    return found[0]


def _raise_if_lease_lost(job: Job, rows: Sequence[Any]) -> None:
    if not rows:
        raise LeaseLostError(f"The lease on job {job.job_id} is over; this worker may not write to it any more.")


def _notify_if_others_wait(job: Job) -> str:
    """The channel to notify when this job ends, so that another may start; empty if none can wait for its end."""
    return "" if job.slot is None and job.exclusive_key is None else wakeup.channel()


def _stored(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(storable_json(value))


def _was_taken_meanwhile(error: IntegrityError) -> bool:
    """Whether another claim won the race for the same place or key, and this session can try again."""
    constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
    return constraint in TAKEN_MEANWHILE and not connection.in_atomic_block


def _refuse(job_id: UUID, participle: str) -> NoReturn:
    state = Job.objects.filter(job_id=job_id).values_list("status", flat=True).first()
    if state is None:
        raise JobNotFoundError("There is no such job.")
    raise StateConflictError(f"The job is {state} and cannot be {participle}.")
