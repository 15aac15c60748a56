"""Which jobs need a person: stuck ones, and failed ones without a later job for the same work."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from jobs.models import Job

FAILED_SINCE = timedelta(days=7)
COUNTED_UP_TO = 100
CONSIDERED = 500  # the newest failures: every page pays for this query
SUPERSEDES = ("queued", "processing", "completed")


def failed() -> QuerySet[Job]:
    """Jobs that failed within a week and have no later job of the same type for the same incident.

    Only the newest `CONSIDERED` failures are checked, so that the cost does not grow with the number of failures.
    """
    followed = Job.objects.filter(
        job_type=OuterRef("job_type"),
        incident_id=OuterRef("incident_id"),
        created_at__gt=OuterRef("created_at"),
        status__in=SUPERSEDES,
    ).exclude(incident_id="")
    newest = Job.objects.filter(status="failed", completed_at__gt=timezone.now() - FAILED_SINCE)
    considered = newest.order_by("-completed_at").values("job_id")[:CONSIDERED]
    return Job.objects.filter(~Exists(followed), job_id__in=considered).order_by("-completed_at")


def stuck() -> QuerySet[Job]:
    """Processing jobs whose lease has expired."""
    return Job.objects.filter(status="processing", lease_expires_at__lte=Now())


def waiting() -> int:
    """How many jobs need a person, in one query; at most `COUNTED_UP_TO` of either kind are counted."""
    # The order lets PostgreSQL read the index jobs_failed_by_end and stop at the limit, rather than join all first.
    ids = [jobs.values("job_id")[:COUNTED_UP_TO] for jobs in (stuck().order_by("lease_expires_at"), failed())]
    return ids[0].union(ids[1]).count()
