"""A job as the API and pages show it: plain JSON values, times in RFC 3339 with microseconds and Z."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from foundation.errors import InvalidRequestError
from foundation.instant import rfc3339
from jobs.models import Attempt, Job, JobLogLine
from jobs.queue import registry


def as_dict(job: Job) -> dict[str, Any]:
    """The fields of `GET /jobs/{job_id}`; `phases` are those its progress goes through, in order."""
    return {
        "job_id": str(job.job_id),
        "job_type": job.job_type,
        "status": str(job.status),
        "priority": job.priority,
        "incident_id": job.incident_id or None,
        "requested_by": job.requested_by,
        "progress": job.progress,
        "phases": list(phases_of(job.job_type)),
        "attempts": job.attempts,
        "retry_count": job.retry_count,
        "max_retries": job.max_retries,
        "cancel_requested": job.cancel_requested,
        "created_at": timestamp(job.created_at),
        "run_after": timestamp(job.run_after),
        "waits_for": job.waits_for or None,
        "started_at": timestamp(job.started_at),
        "completed_at": timestamp(job.completed_at),
        "error_code": job.error_code or None,
        "error_message": job.error_message or None,
        "result": job.result,
    }


def attempt_as_dict(attempt: Attempt) -> dict[str, Any]:
    """One attempt."""
    return {
        "number": attempt.number,
        "worker_id": attempt.worker_id,
        "started_at": timestamp(attempt.started_at),
        "ended_at": timestamp(attempt.ended_at),
        "outcome": attempt.outcome,
        "error_code": attempt.error_code or None,
        "error_message": attempt.error_message or None,
    }


def log_line_as_dict(line: JobLogLine) -> dict[str, Any]:
    """One line of a job's log."""
    return {"at": timestamp(line.at), "level": line.level, "message": line.message, "fields": line.fields}


def phases_of(job_type: str) -> tuple[str, ...]:
    """The phases of a job type; none when this process does not know the type."""
    try:
        return registry.get(job_type).phases
    except InvalidRequestError:
        return ()


def timestamp(at: datetime | None) -> str | None:
    """`at` in UTC as RFC 3339, or `None`."""
    return None if at is None else rfc3339(at)
