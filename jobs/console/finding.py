"""Jobs by the beginning of their id, as people copy it from a page; one range of the primary key."""

from __future__ import annotations

import re
from uuid import UUID

from foundation.principal import Principal
from jobs.models import Job

HEX_PREFIX = re.compile(r"[0-9a-f]{6,32}")


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


def uuid_range(prefix: str) -> tuple[UUID, UUID] | None:
    """The first and last UUID that begin with `prefix`; None when it is no such beginning."""
    if not HEX_PREFIX.fullmatch(prefix):
        return None
    return UUID(prefix.ljust(32, "0")), UUID(prefix.ljust(32, "f"))
