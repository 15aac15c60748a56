"""How long ended jobs are kept, and their removal: in small batches, with attempts and log, recorded in custody.

A job with an idempotency key is kept, so that a repeated request is answered for 30 days whatever the retention is.
Totals and measures are separate tables and stay. Several hosts may purge at once.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection, transaction

from custody import chain
from foundation.errors import InvalidRequestError
from foundation.principal import SYSTEM, Principal
from jobs.models import ENDED

KEYS_KEPT_DAYS = 30
BATCH = 500
MOST_IN_A_SWEEP = 10_000

# Reads the index jobs_by_status from its old end: no job ends before it is created. A job that is being retried, or
# purged by another host, is locked and skipped.
OVER = """
    SELECT job_id FROM orchestrator_jobs AS job
    WHERE status IN (%(state)s) AND created_at < now() - make_interval(days => %(days)s)
        AND completed_at < now() - make_interval(days => %(days)s)
        AND NOT EXISTS (SELECT 1 FROM orchestrator_idempotency AS known WHERE known.job_id = job.job_id)"""

# Log lines and attempts go in the same statement: their foreign keys are checked at the end of the transaction.
PURGE = f"""
WITH over AS MATERIALIZED ({OVER} ORDER BY created_at, job_id LIMIT %(batch)s FOR UPDATE SKIP LOCKED),
log_gone AS (DELETE FROM orchestrator_job_log AS line USING over WHERE line.job_id = over.job_id),
attempts_gone AS (DELETE FROM orchestrator_job_attempts AS attempt USING over WHERE attempt.job_id = over.job_id),
gone AS (DELETE FROM orchestrator_jobs AS job USING over WHERE job.job_id = over.job_id RETURNING job.completed_at)
SELECT count(*), max(completed_at) FROM gone"""  # noqa: S608 # built from constants of this file

COUNT = f"SELECT count(*) FROM ({OVER}) AS over"  # noqa: S608 # built from constants of this file

# Ids grow with time, so the primary key serves as the index on age.
FORGET_KEYS = """
DELETE FROM orchestrator_idempotency WHERE id IN (
    SELECT id FROM (SELECT id, created_at FROM orchestrator_idempotency ORDER BY id LIMIT %(batch)s
                    FOR UPDATE SKIP LOCKED) AS oldest
    WHERE created_at < now() - make_interval(days => %(days)s))"""


def kept_days() -> dict[str, int]:
    """How many days a job of each final state is kept after its end; 0 means for ever."""
    return {str(state): int(settings.ORCH_KEEP_DAYS[state]) for state in ENDED}


def purge(principal: Principal, state: str, days: int, *, most: int | None = None) -> int:
    """Remove jobs that ended in `state` more than `days` days ago, oldest first; each batch is one custody event.

    Args:
        principal: who purges; a person at a shell, or the system.
        state: `completed`, `failed` or `cancelled`.
        days: at least 1.
        most: how many to remove, up to one batch more; all when `None`.

    Returns:
        How many were removed.

    Raises:
        InvalidRequestError: the state is not final, or the days are fewer than 1.
    """
    _refuse(state, days)
    removed = 0
    while most is None or removed < most:
        with transaction.atomic():
            number, newest_end = _fetch(PURGE, state=state, days=days, batch=BATCH)
            if not number:
                break
            details = {"state": state, "jobs": number, "older_than_days": days, "newest_end": newest_end.isoformat()}
            chain.record(principal, "job.purge", "job", "", details=details)
        removed += number
        if number < BATCH:
            break
    return removed


def would_purge(state: str, days: int) -> int:
    """How many jobs `purge` would remove now.

    Raises:
        InvalidRequestError: as `purge`.
    """
    _refuse(state, days)
    return int(_fetch(COUNT, state=state, days=days)[0])


def forget_keys(most: int = MOST_IN_A_SWEEP) -> int:
    """Remove idempotency keys older than 30 days, about `most` of them; the same request then makes a new job."""
    removed, number = 0, BATCH
    while number == BATCH and removed < most:
        with connection.cursor() as cursor:
            cursor.execute(FORGET_KEYS, {"batch": BATCH, "days": KEYS_KEPT_DAYS})
            number = cursor.rowcount
        removed += number
    return removed


def sweep() -> int:
    """Remove old keys, then purge jobs as the settings say; bounded, as it runs again in 5 minutes."""
    removed = forget_keys()
    for state, days in kept_days().items():
        if days:
            removed += purge(SYSTEM, state, days, most=MOST_IN_A_SWEEP)
    return removed


def _refuse(state: str, days: int) -> None:
    if state not in ENDED:
        raise InvalidRequestError("Only jobs that have ended are purged.", {"status": "one of " + ", ".join(ENDED)})
    if days < 1:
        raise InvalidRequestError("A job is kept for at least a day after its end.", {"older_than_days": "below 1"})


def _fetch(sql: str, **values: Any) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return tuple(cursor.fetchone() or ())
