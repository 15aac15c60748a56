"""Which jobs wait for a person: stuck ones, and failed ones that nothing has made good since."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from jobs.models import Job

FAILED_SINCE = timedelta(days=7)
COUNTED_UP_TO = 100
LOOKED_AT = 500  # the newest failures; looking further costs every page more than the news is worth
MAKES_GOOD = ("queued", "processing", "completed")


def failed() -> QuerySet[Job]:
    """Jobs that failed within a week and were not followed by one of the same kind for the same incident.

    Of the newest `LOOKED_AT` failures only, so that the cost does not grow with how many were made good.
    """
    followed = Job.objects.filter(
        job_type=OuterRef("job_type"),
        incident_id=OuterRef("incident_id"),
        created_at__gt=OuterRef("created_at"),
        status__in=MAKES_GOOD,
    ).exclude(incident_id="")
    newest = Job.objects.filter(status="failed", completed_at__gt=timezone.now() - FAILED_SINCE)
    looked_at = newest.order_by("-completed_at").values("job_id")[:LOOKED_AT]
    return Job.objects.filter(~Exists(followed), job_id__in=looked_at).order_by("-completed_at")


def stuck() -> QuerySet[Job]:
    """Jobs in work whose worker has let its lease run out."""
    return Job.objects.filter(status="processing", lease_expires_at__lte=Now())


def waiting() -> int:
    """How many jobs wait for a person, in one query; of either kind at most `COUNTED_UP_TO` are counted."""
    # The order makes PostgreSQL walk the index on when jobs failed and stop at the limit, rather than join all first.
    ids = [jobs.values("job_id")[:COUNTED_UP_TO] for jobs in (stuck().order_by("lease_expires_at"), failed())]
    return ids[0].union(ids[1]).count()
