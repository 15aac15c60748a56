"""One attempt, from claim to end: runs the handler and turns whatever it does into one transition.

Guarantees that an attempt ends in exactly one of: completed, failed, cancelled, released, or nothing at all when the
lease is over, in which case whoever recovers the job writes the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.db import Error, connection

from foundation import db_session
from foundation.log_format import during
from foundation.redaction import redact_text
from jobs.errors import (
    CancelledError,
    LeaseLostError,
    OutcomeUnknownError,
    PermanentError,
    RetryableError,
    StoppingError,
)
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.context import JobContext
from jobs.queue.job_result import Finished
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.completion import answer_was_lost, complete_with_recovery
from jobs.worker.job_log import log

HANDLER_ANSWER_S = 600.0  # a handler may ask for much; should the lease be over, it waits no longer


def perform(
    job: Job,
    reporter: AttemptReporter,
    *,
    rest: Callable[[], None] = lambda: None,
    request: Callable[[], ClaimRequest | None] = lambda: None,
) -> Job | None:
    """Run one attempt of a claimed job to its end.

    Args:
        job: as `queue.claim` returned it.
        reporter: its life liveness; beating already when a thread does that.
        rest: called once the handler has left: stops the beating, so that nothing else writes to the job.
        request: asked, once the handler has left, who takes another job.

    Returns:
        The next job, when it could be claimed with the completion of this one; it must be performed.
    """
    with during(job_id=job.job_id, attempt=job.attempts):
        return _perform(job, reporter, rest, request)


def _perform(job: Job, reporter: AttemptReporter, rest: Callable[[], None], request: Callable[[], ClaimRequest | None]) -> Job | None:
    context = JobContext(
        job_id=job.job_id,
        attempt=job.attempts,
        payload=job.payload,
        incident_id=job.incident_id,
        requested_by=job.requested_by,
        lease_token=_token(job),
        reporter=reporter,
    )
    try:
        try:
            with db_session.answers_within(HANDLER_ANSWER_S, over=reporter.is_over):
                finished = registry.get(job.job_type).handler(context)
        finally:
            rest()
        return _complete(job, reporter, finished, request())
    except LeaseLostError:
        log.warning("the lease was lost; this attempt changes nothing")
    except OutcomeUnknownError as error:
        log.error(str(error))
    except CancelledError:
        _end(reporter, lambda: queue.honour_cancel(job))
    except StoppingError:
        _end(reporter, lambda: queue.release(job))
    except (PermanentError, RetryableError) as error:
        _fail(job, reporter, error)
    except Exception as error:  # noqa: BLE001 # whatever a handler raises ends its attempt, not the worker
        log.error("the handler failed", exc_info=True)
        _fail(job, reporter, RetryableError("internal_error", f"{type(error).__name__}: {error}"))
    return None


def _complete(job: Job, reporter: AttemptReporter, finished: Finished, request: ClaimRequest | None) -> Job | None:
    _quietly(reporter.store_log)
    progress = reporter.tracker.take() if reporter.tracker.pending else None
    return complete_with_recovery(job, finished, progress, request=request)


def _fail(job: Job, reporter: AttemptReporter, error: PermanentError | RetryableError) -> None:
    code, message, permanent = error.code, redact_text(str(error)) or error.code, isinstance(error, PermanentError)
    needs_bytes = error.needs_bytes if isinstance(error, RetryableError) else 0
    reporter.log("error", message, {"code": code, "permanent": permanent})
    _end(reporter, lambda: queue.fail(job, code, message, permanent=permanent, needs_bytes=needs_bytes))


def _end(reporter: AttemptReporter, transition: Callable[[], Job]) -> None:
    """Make the closing transition, again and again while the database is away and the lease may still run."""
    _quietly(reporter.store_log)
    give_up_at = time.monotonic() + settings.ORCH_LEASE_SECONDS
    while True:
        try:
            transition()
            return
        except LeaseLostError:  # also after an answer that was lost: then the transition has been made
            return
        except Error as error:
            if not answer_was_lost(error) or connection.in_atomic_block or time.monotonic() > give_up_at:
                raise
            connection.close()
            time.sleep(0.5)


def _quietly(store: Callable[[], None]) -> None:
    """Log lines are worth an attempt, not the job."""
    try:
        store()
    except Error as error:
        if not answer_was_lost(error):
            raise
        if not connection.in_atomic_block:
            connection.close()


def _token(job: Job) -> UUID:
    if job.lease_token is None:
        raise LeaseLostError("The job is not claimed.")
    return job.lease_token
