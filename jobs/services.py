"""What people may see of jobs and do to them. Each call checks the permission, acts, and records it in custody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from custody import chain
from foundation import keyset
from foundation.errors import InvalidRequestError
from foundation.keyset import Page
from foundation.principal import Principal
from jobs.errors import JobNotFoundError, StateConflictError
from jobs.models import Attempt, Job, JobLogLine, Status
from jobs.queue import queue, queue_depth, registry

LIST_ORDER = ("-created_at", "-job_id")
STUCK = "stuck"
STUCK_ORDER = ("lease_expires_at", "job_id")


def get(principal: Principal, job_id: UUID | str) -> Job:
    """One job.

    Raises:
        AccessDeniedError: the principal may not see jobs.
        JobNotFoundError: there is no such job.
    """
    principal.require("jobs.view_job")
    job = Job.objects.filter(job_id=_uuid(job_id)).first()
    if job is None:
        raise JobNotFoundError("There is no such job.")
    return job


def page(
    principal: Principal,
    *,
    status: str = "",
    job_type: str = "",
    incident_id: str = "",
    cursor: str = "",
    limit: int = keyset.DEFAULT_LIMIT,
) -> Page[Job]:
    """One page of jobs, newest first; an empty filter filters nothing.

    Raises:
        AccessDeniedError: the principal may not see jobs.
        InvalidRequestError: the state is unknown.
        CursorInvalidError: the cursor belongs to another list.
    """
    principal.require("jobs.view_job")
    if status and status not in Status.values:
        raise InvalidRequestError("There is no such state.", {"status": "one of " + ", ".join(Status.values)})
    wanted = {"status": status, "job_type": job_type, "incident_id": incident_id}
    if any("\x00" in value for value in wanted.values()):
        return Page(items=[], next="")
    rows = Job.objects.filter(**{name: value for name, value in wanted.items() if value})
    return keyset.page(rows, order=LIST_ORDER, cursor=cursor, limit=limit)


def listed(
    principal: Principal,
    *,
    status: str = "",
    job_type: str = "",
    incident_id: str = "",
    cursor: str = "",
    limit: int = keyset.DEFAULT_LIMIT,
) -> Page[Job]:
    """As `page`; `status` may also be `stuck`: processing with an expired lease, longest expired first."""
    if status != STUCK:
        return page(principal, status=status, job_type=job_type, incident_id=incident_id, cursor=cursor, limit=limit)
    principal.require("jobs.view_job")
    wanted = {"job_type": job_type, "incident_id": incident_id}
    if any("\x00" in value for value in wanted.values()):
        return Page(items=[], next="")
    rows = Job.objects.filter(status__in=[Status.PROCESSING], lease_expires_at__lte=Now())
    rows = rows.filter(**{name: value for name, value in wanted.items() if value})
    return keyset.page(rows, order=STUCK_ORDER, cursor=cursor, limit=limit)


def cancel(principal: Principal, job_id: UUID | str) -> Job:
    """Cancel a queued job; ask a running one to stop.

    Raises:
        AccessDeniedError: the principal may not cancel jobs.
        JobNotFoundError: there is no such job.
        StateConflictError: it has ended.
    """
    principal.require("jobs.cancel_job")
    with transaction.atomic():
        job = queue.cancel(_uuid(job_id))
        _record(principal, "job.cancel", job, outcome="requested" if job.cancel_requested else "ok")
    return job


def retry(principal: Principal, job_id: UUID | str, *, when_available: bool = False) -> Job:
    """Queue a failed or cancelled job again, with all its attempts.

    Args:
        principal: needs `jobs.retry_job`.
        job_id: the job.
        when_available: whether to check first what the job needs from outside, and to wait for that while it is away.

    Raises:
        AccessDeniedError: the principal may not retry jobs.
        JobNotFoundError: there is no such job.
        StateConflictError: it is in another state, an equal job is active, or its type has nothing to wait for.
    """
    principal.require("jobs.retry_job")
    waits_for = _to_wait_for(principal, job_id) if when_available else ""
    with transaction.atomic():
        job = queue.retry(_uuid(job_id), waits_for=waits_for)
        _record(principal, "job.retry", job)
    return job


def _to_wait_for(principal: Principal, job_id: UUID | str) -> str:
    """The name of the dependency that the job has to wait for now; empty when it is available."""
    job = get(principal, job_id)
    dependency = registry.get(job.job_type).dependency
    if dependency is None:
        raise StateConflictError("A job of this type has nothing to wait for; retry it without waiting.")
    return "" if dependency.is_available(job) else dependency.name_of(job)


def free_stuck(principal: Principal, job_ids: Iterable[UUID | str] | None = None) -> list[Job]:
    """Return stuck jobs to the queue, or fail those whose attempts are used up; a job with a valid lease is left alone.

    Args:
        principal: who asks.
        job_ids: which jobs; all stuck ones when `None`.

    Raises:
        AccessDeniedError: the principal may not free jobs.
        StateConflictError: jobs were named, and none of them is stuck.
    """
    principal.require("jobs.free_job")
    ids = None if job_ids is None else [_uuid(job_id) for job_id in job_ids]
    with transaction.atomic():
        freed = queue.free_stuck(ids)
        if ids and not freed:
            raise StateConflictError("No job was freed: none of those named is processing with an expired lease.")
        for job in freed:
            _record(principal, "job.free", job, outcome="ok")
    return freed


def attempts_of(job: Job) -> list[Attempt]:
    """The job's attempts, first to last."""
    return list(Attempt.objects.filter(job_id=job.job_id).order_by("number"))


def log_of(job: Job, limit: int = 200) -> list[JobLogLine]:
    """The last `limit` lines of the job's log, oldest first."""
    newest = JobLogLine.objects.filter(job_id=job.job_id).order_by("-id")[:limit]
    return list(newest)[::-1]


def counts() -> dict[str, int]:
    """How many jobs are queued (above `queue_depth.EXACT_UP_TO` an estimate) and how many are processing."""
    with connection.cursor() as cursor:
        cursor.execute(queue_depth.COUNTS_SQL)
        queued, processing = cursor.fetchone()
    return {"queued": int(queued), "processing": int(processing)}


def _record(principal: Principal, action: str, job: Job, outcome: str = "ok") -> None:
    details: dict[str, Any] = {"job_type": job.job_type, "now": str(job.status)}
    if job.waits_for:
        details["waits_for"] = job.waits_for
    chain.record(
        principal, action, "job", str(job.job_id), incident_id=job.incident_id, outcome=outcome, details=details
    )


def _uuid(job_id: UUID | str) -> UUID:
    try:
        return job_id if isinstance(job_id, UUID) else UUID(job_id)
    except (ValueError, AttributeError) as error:
        raise JobNotFoundError("There is no such job.") from error
