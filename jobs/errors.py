"""What the queue refuses, and how a handler says why an attempt ended.

Every error has a stable `code` and a message for a person. `PermanentError` and `RetryableError` are the two words
a handler has for failure; the last three are how its context tells it to stop.
"""

from __future__ import annotations

from foundation.errors import AppError


class JobError(AppError):
    """Base of the jobs app's errors."""

    code = "job_error"


class JobNotFoundError(JobError):
    """There is no such job, or none that this principal may know of."""

    code = "job_not_found"


class WorkerNotFoundError(JobError):
    """There is no such worker, or it has left."""

    code = "worker_not_found"


class StateConflictError(JobError):
    """The job is in a state that does not allow this."""

    code = "state_conflict"


class IdempotencyKeyReusedError(JobError):
    """The idempotency key was used before with another request."""

    code = "idempotency_key_reused"


class OutcomeUnknownError(JobError):
    """The answer to a COMMIT was lost and the database has not answered since; nothing may be discarded."""

    code = "outcome_unknown"


class PermanentError(JobError):
    """Raised by a handler: this job cannot succeed, however often it is tried."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RetryableError(JobError):
    """Raised by a handler: this attempt failed, another may succeed.

    `needs_bytes` tells how much room the next attempt is expected to need on the worker's disk, where that failed it.
    """

    def __init__(self, code: str, message: str, *, needs_bytes: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.needs_bytes = needs_bytes


class LeaseLostError(JobError):
    """This worker's lease is over: whatever it still writes is refused, whatever it made must be discarded."""

    code = "lease_lost"


class CancelledError(JobError):
    """Somebody asked for this job to be cancelled; the handler leaves at once."""

    code = "cancelled"


class StoppingError(JobError):
    """The worker is shutting down; the handler leaves at once and the job goes back to the queue."""

    code = "stopping"
