"""One attempt at a claimed job: runs its handler and ends the attempt by one transition.

The attempt ends as completed, failed, cancelled or released. When its lease is over it changes nothing; the job is
then recovered, which ends the attempt as lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.db import Error, connection

from foundation import db_session
from foundation.log_format import during, logger
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
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.completion import answer_was_lost, complete_with_recovery

log = logger("jobs")

HANDLER_ANSWER_S = 600.0  # how long a handler's statement may take; no longer than the lease


def perform(job: Job, reporter: AttemptReporter, *, rest: Callable[[], None] = lambda: None) -> None:
    """Run one attempt of a claimed job to its end.

    Args:
        job: as `queue.claim` returned it.
        reporter: reports its progress; where a heartbeat thread renews the lease, it does so already.
        rest: called once the handler has returned; stops the heartbeat, so that nothing else writes to the job.
    """
    with during(job_id=job.job_id, attempt=job.attempts):
        _perform(job, reporter, rest)


def _perform(job: Job, reporter: AttemptReporter, rest: Callable[[], None]) -> None:
    try:
        _complete(job, reporter, _run(job, reporter, rest))
    except LeaseLostError:
        log.warning("the lease was lost; this attempt changes nothing")
    except OutcomeUnknownError as error:
        log.error(str(error))  # noqa: TRY400 # the message says it all
    except (PermanentError, RetryableError) as error:
        _fail(job, reporter, error)
    except CancelledError:
        _end(reporter, lambda: queue.honour_cancel(job))
    except StoppingError:
        _end(reporter, lambda: queue.release(job))
    except Exception as error:  # whatever a handler raises ends its attempt, not the worker
        log.exception("the handler failed")
        _fail(job, reporter, RetryableError("internal_error", f"{type(error).__name__}: {error}"))


def _run(job: Job, reporter: AttemptReporter, rest: Callable[[], None]) -> JobResult:
    context = JobContext(
        job_id=job.job_id,
        attempt=job.attempts,
        payload=job.payload,
        incident_id=job.incident_id,
        requested_by=job.requested_by,
        lease_token=_token(job),
        reporter=reporter,
        last_try=job.retry_count + 1 >= job.max_retries,
    )
    try:
        with db_session.answers_within(HANDLER_ANSWER_S, over=reporter.is_over):
            return registry.get(job.job_type).handler(context)
    finally:
        rest()


def _token(job: Job) -> UUID:
    if job.lease_token is None:
        raise LeaseLostError("The job is not claimed.")
    return job.lease_token


def _complete(job: Job, reporter: AttemptReporter, result: JobResult) -> None:
    _store_log(reporter)
    complete_with_recovery(job, result, reporter.take_progress())


def _fail(job: Job, reporter: AttemptReporter, error: PermanentError | RetryableError) -> None:
    code, message, permanent = error.code, redact_text(str(error)) or error.code, isinstance(error, PermanentError)
    needs_bytes, not_before_s = (
        (error.needs_bytes, error.not_before_s) if isinstance(error, RetryableError) else (0, 0.0)
    )
    reporter.log("error", message, {"code": code, "permanent": permanent})
    _end(
        reporter,
        lambda: queue.fail(job, code, message, permanent=permanent, needs_bytes=needs_bytes, not_before_s=not_before_s),
    )


def _end(reporter: AttemptReporter, transition: Callable[[], Job]) -> None:
    """Make the closing transition; try again while the database is away and the lease may still be valid."""
    _store_log(reporter)
    give_up_at = time.monotonic() + settings.ORCH_LEASE_SECONDS
    while True:
        try:
            transition()
            return
        except LeaseLostError:  # also after a lost answer: the transition has then been made
            return
        except Error as error:
            if not answer_was_lost(error) or connection.in_atomic_block or time.monotonic() > give_up_at:
                raise
            connection.close()
            time.sleep(0.5)


def _store_log(reporter: AttemptReporter) -> None:
    """Store the remaining log lines; a lost connection costs the lines, not the attempt."""
    try:
        reporter.store_log()
    except Error as error:
        if not answer_was_lost(error):
            raise
        if not connection.in_atomic_block:
            connection.close()
