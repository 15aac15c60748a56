"""A copy of a job: a new request for the same work, by the service that took the first one, with all its checks.

Nothing is copied but the parameters. The copy is asked for by whoever copies, with their rights; a restore that is
copied becomes a preview, as nothing is written that nobody has confirmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from custody import chain
from foundation.errors import InvalidRequestError
from foundation.principal import Principal
from jobs import services
from jobs.errors import StateConflictError
from jobs.models import ENDED, Job
from jobs.queue import registry
from jobs.queue.registry import JobType


@dataclass(frozen=True)
class Copied:
    """The job that does the work once more, and whether it is new; an equal one that was active is no second one."""

    job_id: UUID
    created: bool


def can_copy(principal: Principal, job: Job) -> bool:
    """Whether the principal may ask for this job's work once more: it has ended, and its type allows it."""
    kind = _kind(job)
    return job.status in ENDED and kind is not None and kind.again is not None and principal.may(kind.again_needs)


def copy(principal: Principal, job_id: UUID) -> Copied:
    """Ask for the work of a job once more.

    Raises:
        AccessDeniedError: the principal may not see jobs, or not ask for this one.
        JobNotFoundError: there is no such job.
        StateConflictError: jobs of its type cannot be copied.
    """
    job = services.get(principal, job_id)
    kind = _kind(job)
    if kind is None or kind.again is None:
        raise StateConflictError("A job of this type cannot be copied.")
    with transaction.atomic():
        made = kind.again(principal, job)
        if made.created:
            details = {"job_type": job.job_type, "copy": str(made.job.job_id)}
            chain.record(principal, "job.copy", "job", str(job.job_id), incident_id=job.incident_id, details=details)
    return Copied(made.job.job_id, made.created)


def _kind(job: Job) -> JobType | None:
    try:
        return registry.get(job.job_type)
    except InvalidRequestError:
        return None
