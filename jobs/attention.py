"""Which jobs wait for a person: stuck ones, and failed ones that nothing has made good since."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from jobs import services
from jobs.models import Job

FAILED_SINCE = timedelta(days=7)
COUNTED_UP_TO = 100
MAKES_GOOD = ("queued", "processing", "completed")


def failed() -> QuerySet[Job]:
    """Jobs that failed within a week and were not followed by one of the same kind for the same incident."""
    followed = Job.objects.filter(
        job_type=OuterRef("job_type"),
        incident_id=OuterRef("incident_id"),
        created_at__gt=OuterRef("created_at"),
        status__in=MAKES_GOOD,
    ).exclude(incident_id="")
    recent = Job.objects.filter(status="failed", completed_at__gt=timezone.now() - FAILED_SINCE)
    return recent.filter(~Exists(followed)).order_by("-completed_at")


def waiting() -> int:
    """How many jobs wait for a person; of the failed ones at most `COUNTED_UP_TO` are counted."""
    return services.stuck_count() + failed()[:COUNTED_UP_TO].count()
