"""What a request for work returns, and what a handler returns when its attempt succeeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.models import Job


@dataclass(frozen=True)
class Enqueued:
    """The job of a request, and whether this request created it."""

    job: Job
    created: bool


@dataclass(frozen=True)
class JobResult:
    """What a successful attempt returns.

    Attributes:
        result: a JSON object, kept in the job's row.
        register: runs in the transaction that completes the job, so that the job is completed exactly if its output is
            registered. It only writes rows, and may run again after a rollback.
        discard: removes what was published outside the database. Called only when it is certain that this attempt did
            not complete the job.
    """

    result: dict[str, Any]
    register: Callable[[], None] | None = None
    discard: Callable[[], None] | None = None
