"""What a request for work gives back, and what a handler returns when its work is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.models import Job


@dataclass(frozen=True)
class Enqueued:
    """The job that answers a request, and whether this request made it."""

    job: Job
    created: bool


@dataclass(frozen=True)
class JobResult:
    """What a successful attempt returns.

    Attributes:
        result: a JSON object, kept in the job's row.
        register: runs inside the transaction that completes the job, so that the job is completed exactly when what
            it made is registered. It only writes rows, and may run again when the transaction was rolled back.
        discard: removes what was published outside the database. Called only when it is certain that the job was
            not completed by this attempt.
    """

    result: dict[str, Any]
    register: Callable[[], None] | None = None
    discard: Callable[[], None] | None = None
