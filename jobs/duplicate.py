"""A copy of a job: a new request with the same parameters, by the same service and with all its checks.

The person who copies is the one who asks for the new job, and needs the permission for it. The copy of a restore is a
preview, as nothing may be written without a confirmation.
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
    """The job that does the work again, and whether it is new: an equal job that is active is returned instead."""

    job_id: UUID
    created: bool


def can_copy(principal: Principal, job: Job) -> bool:
    """Whether the principal may copy this job: it has ended, and its type can be copied."""
    job_type = _type_of(job)
    if job_type is None or job_type.resubmit is None:
        return False
    return job.status in ENDED and principal.may(job_type.resubmit_needs)


def copy(principal: Principal, job_id: UUID) -> Copied:
    """Ask for the work of a job again.

    Raises:
        AccessDeniedError: the principal may not see jobs, or not ask for this work.
        JobNotFoundError: there is no such job.
        StateConflictError: jobs of its type cannot be copied.
    """
    job = services.get(principal, job_id)
    job_type = _type_of(job)
    if job_type is None or job_type.resubmit is None:
        raise StateConflictError("A job of this type cannot be copied.")
    with transaction.atomic():
        made = job_type.resubmit(principal, job)
        if made.created:
            details = {"job_type": job.job_type, "copy": str(made.job.job_id)}
            chain.record(principal, "job.copy", "job", str(job.job_id), incident_id=job.incident_id, details=details)
    return Copied(made.job.job_id, made.created)


def _type_of(job: Job) -> JobType | None:
    try:
        return registry.get(job.job_type)
    except InvalidRequestError:
        return None
