"""Completing a job when the answer to COMMIT may be lost.

Guarantees: what an attempt published is discarded only when it is certain that the attempt did not complete the job,
and kept for the sweep when nothing is certain.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from foundation import db_session
from jobs.errors import LeaseLostError, OutcomeUnknownError
from jobs.models import Attempt, Job
from jobs.queue import queue
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import Finished
from jobs.worker.job_log import log

PATIENCE_S = 60.0
PAUSE_S = 0.5
LEAST_CLAIM_S = 5.0
OUTCOME = "SELECT outcome FROM orchestrator_job_attempts WHERE job_id = %s AND number = %s FOR UPDATE"


def complete_with_recovery(
    job: Job,
    finished: Finished,
    progress: dict[str, Any] | None,
    *,
    request: ClaimRequest | None = None,
    patience_s: float = PATIENCE_S,
) -> Job | None:
    """Complete `job`; when the connection breaks meanwhile, find out on a new one what became of it.

    Args:
        job: as `queue.claim` returned it.
        finished: what the handler made.
        progress: its last progress.
        request: who takes the next job along, when nothing is to be registered; `None` when nobody does.
        patience_s: how long to wait for a database that does not answer.

    Returns:
        The next job, if `request` got one at once. One that was claimed with an answer that was lost comes back when
        its lease expires, as after a claim whose answer was lost.

    Raises:
        LeaseLostError: the lease was over; `finished.discard` has run.
        OutcomeUnknownError: the database stayed away; nothing was discarded.
        Exception: what `finished.register` raised; `finished.discard` has run.
    """
    give_up_at = time.monotonic() + patience_s
    committing = True
    while True:
        try:
            if committing:
                return _complete(job, finished, progress, request)
            if _completed(job):
                return None
            committing = True
        except Exception as error:
            if not answer_was_lost(error):  # rolled back, or refused by the guard: certainly not completed
                if finished.discard is not None:
                    finished.discard()
                raise
            log.warning("completing was interrupted; asking what became of it", error=str(error).strip())
            _forget_connection()
            committing = False
            if time.monotonic() > give_up_at:
                raise OutcomeUnknownError("The database has not said whether the job was completed.") from error
            time.sleep(PAUSE_S)


def _complete(job: Job, finished: Finished, progress: dict[str, Any] | None, request: ClaimRequest | None) -> Job | None:
    if request is None or finished.register is not None:
        with db_session.answers_within(db_session.STATEMENT_S):  # a large record may take long, as the server bounds it
            queue.complete(job, finished, progress)
        return None
    with db_session.answers_within(claim_answer_s()):
        return queue.succeed(job, finished, request, progress)


def claim_answer_s() -> float:
    """How long to wait for a claim, in seconds: an answer with half the lease gone is hardly worth waiting for."""
    return max(LEAST_CLAIM_S, settings.ORCH_LEASE_SECONDS / 2)


def _completed(job: Job) -> bool:
    """Whether this claim's attempt completed its job.

    Locking the attempt's row waits until a transaction of ours that the server still runs has ended either way. The
    lock ends with its statement: were it held in a transaction, a worker frozen there would keep everyone from
    recovering anything.
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
