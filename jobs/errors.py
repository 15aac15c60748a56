"""The errors of the queue, and those by which a handler ends its attempt.

Every error has a stable `code` and a message for a person. A handler raises `PermanentError` or `RetryableError` when
it fails. Its context raises the last three to stop it.
"""

from __future__ import annotations

from foundation.errors import AppError


class JobError(AppError):
    """Base of the jobs app's errors."""

    code = "job_error"


class JobNotFoundError(JobError):
    """There is no such job."""

    code = "job_not_found"


class WorkerNotFoundError(JobError):
    """There is no such live worker."""

    code = "worker_not_found"


class StateConflictError(JobError):
    """The job is in a state that does not allow this."""

    code = "state_conflict"


class IdempotencyKeyReusedError(JobError):
    """The idempotency key was used before with another request."""

    code = "idempotency_key_reused"


class OutcomeUnknownError(JobError):
    """The answer to a COMMIT was lost and the database does not answer; nothing may be discarded."""

    code = "outcome_unknown"


class PermanentError(JobError):
    """Raised by a handler: no attempt at this job can succeed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RetryableError(JobError):
    """Raised by a handler: this attempt failed, another may succeed.

    `needs_bytes` is the disk space that the next attempt is expected to need, when this one failed for lack of it.
    `not_before_s` is how many seconds from now the next attempt can succeed at the earliest.
    """

    def __init__(self, code: str, message: str, *, needs_bytes: int = 0, not_before_s: float = 0) -> None:
        super().__init__(message)
        self.code = code
        self.needs_bytes = needs_bytes
        self.not_before_s = not_before_s


class LeaseLostError(JobError):
    """This worker's lease is over: its writes are refused, and what it made must be discarded."""

    code = "lease_lost"


class CancelledError(JobError):
    """Cancelling was requested; the handler must return at once."""

    code = "cancelled"


class StoppingError(JobError):
    """The worker is shutting down; the handler must return at once, and the job goes back to the queue."""

    code = "stopping"
