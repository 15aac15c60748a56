"""Completes a job although the answer to COMMIT may be lost.

What an attempt published is discarded only when it is certain that the attempt did not complete the job. When nothing
is certain it is kept; the sweep decides later.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from foundation import db_session
from foundation.log_format import logger
from jobs.errors import LeaseLostError, OutcomeUnknownError
from jobs.models import Attempt, Job
from jobs.queue import queue
from jobs.queue.job_result import JobResult

log = logger("jobs")

PATIENCE_S = 60.0
PAUSE_S = 0.5
SHORTEST_CLAIM_WAIT_S = 5.0
OUTCOME = "SELECT outcome FROM orchestrator_job_attempts WHERE job_id = %s AND number = %s FOR UPDATE"


def complete_with_recovery(
    job: Job, result: JobResult, progress: dict[str, Any] | None, *, patience_s: float = PATIENCE_S
) -> None:
    """Complete `job`; when the connection breaks meanwhile, ask on a new one whether it was completed.

    Args:
        job: as `queue.claim` returned it.
        result: what the handler returned.
        progress: its last progress, if that is not stored yet.
        patience_s: how long to wait for a database that does not answer.

    Raises:
        LeaseLostError: the lease was over; `result.discard` has run.
        OutcomeUnknownError: the database did not answer in time; nothing was discarded.
        Exception: what `result.register` raised; `result.discard` has run.
    """
    give_up_at = time.monotonic() + patience_s
    committing = True
    while True:
        try:
            if committing:
                with db_session.answers_within(db_session.STATEMENT_S):  # a large record may take long
                    queue.complete(job, result, progress)
                return
            if _completed(job):
                return
            committing = True
        except Exception as error:
            if not answer_was_lost(error):  # rolled back, or refused: certainly not completed
                if result.discard is not None:
                    result.discard()
                raise
            log.warning("completing was interrupted; asking what became of it", error=str(error).strip())
            _forget_connection()
            committing = False
            if time.monotonic() > give_up_at:
                raise OutcomeUnknownError("The database has not said whether the job was completed.") from error
            time.sleep(PAUSE_S)


def claim_answer_s() -> float:
    """How long to wait for the answer to a claim, in seconds; after half the lease it is hardly worth having."""
    return max(SHORTEST_CLAIM_WAIT_S, settings.ORCH_LEASE_SECONDS / 2)


def _completed(job: Job) -> bool:
    """Whether this claim's attempt completed its job.

    Locking the attempt's row waits until our old transaction, which the server may still run, has ended either way. The
    lock is released with its statement: held in a transaction, it would let a frozen worker block all recovery.
    """
    with connection.cursor() as cursor:
        cursor.execute(OUTCOME, [job.job_id, job.attempts])
        found = cursor.fetchone()
    if found is None:
        raise LeaseLostError("The attempt's record is gone.")
    return bool(found[0] == Attempt.Outcome.COMPLETED)


def answer_was_lost(error: Exception) -> bool:
    """Whether `error` leaves open what the server did; some cut connections surface as a bare DatabaseError."""
    return isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError


def _forget_connection() -> None:
    if not connection.in_atomic_block:
        connection.close()
