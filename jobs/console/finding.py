"""Finds jobs by the beginning of their id, as one range of the primary key."""

from __future__ import annotations

from foundation.hex_prefix import uuid_range
from foundation.principal import Principal
from jobs.models import Job


def jobs_by_id(principal: Principal, text: str, *, limit: int) -> list[Job]:
    """The jobs whose id begins with `text`.

    Args:
        principal: without `jobs.view_job` nothing is found.
        text: lower-case hex digits without hyphens; fewer than 6 find nothing.
        limit: how many at most.
    """
    bounds = uuid_range(text)
    if bounds is None or not principal.may("jobs.view_job"):
        return []
    return list(Job.objects.filter(job_id__range=bounds).order_by("job_id")[:limit])
