"""The custody events of one bundle, from the request to make it on: its own, and those of the jobs that handled it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from bundles.models import Bundle, Verification
from custody.models import Event

MOST_LINES = 1000
FIRST_LINES = 100  # of these, when there are more


@dataclass(frozen=True)
class Lines:
    """Custody events, oldest first.

    Attributes:
        first: those from the request on.
        left_out: how many follow that are not listed.
        last: the newest.
    """

    first: list[Event]
    left_out: int
    last: list[Event]


def newest(bundle: Bundle, checked: Iterable[Verification], limit: int) -> list[Event]:
    """The newest events of a bundle, newest first.

    Args:
        bundle: which bundle.
        checked: its verifications, whose jobs count too.
        limit: the largest number of events.
    """
    return list(_events(bundle, checked)[:limit])


def from_the_request_on(bundle: Bundle, checked: Iterable[Verification]) -> Lines:
    """All events of a bundle, oldest first; of more than `MOST_LINES` the first and the last."""
    events = _events(bundle, checked)
    last = list(events[: MOST_LINES + 1])
    if len(last) <= MOST_LINES:
        return Lines([], 0, last[::-1])
    first = list(events.reverse()[:FIRST_LINES])
    last = last[: MOST_LINES - FIRST_LINES]
    return Lines(first, events.count() - len(first) - len(last), last[::-1])


def _events(bundle: Bundle, checked: Iterable[Verification]) -> QuerySet[Event]:
    jobs = [bundle.job_id, *(verification.job_id for verification in checked)]
    of_jobs = Q(object_type="job", object_id__in=[str(job_id) for job_id in jobs if job_id])
    return Event.objects.filter(Q(object_type="bundle", object_id=str(bundle.bundle_id)) | of_jobs)
