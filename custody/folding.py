"""One line for each thing that was done: a request is folded under the event that says what came of it.

A request (`outcome` is `requested`) and its outcome name the same job: the request as its object or in `details`, the
outcome in `details`. An index of migration 0002 finds the events of a job.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import QuerySet

from custody.models import Event

REQUESTED = "requested"
REQUESTS = frozenset({"bundle.create", "bundle.verify", "incident.restore", "signature.skipped"})
# A quotation mark inside a JSON string is escaped, so this matches a member and never a value.
JOB = re.compile(r'"job_id":"([0-9a-f-]{36})"')
# The expression is that of the index custody_job.
OF_JOBS = """
SELECT * FROM orchestrator_custody WHERE substring(details from '"job_id":"([0-9a-f-]{36})"') = ANY(%(jobs)s)
UNION
SELECT * FROM orchestrator_custody
WHERE object_type = 'job' AND object_id = ANY(%(jobs)s) AND action = ANY(%(requests)s)
"""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a list: an event, and the requests that led to it, oldest first."""

    event: Event
    requests: tuple[Event, ...] = ()


def lines_within(events: Iterable[Event]) -> list[Line]:
    """Fold requests under outcomes that are both among `events`, without a query."""
    events = list(events)
    return _lines(events, events, None)


def lines(events: Iterable[Event], listed: QuerySet[Event] | None = None) -> list[Line]:
    """Fold requests under their outcomes, in at most two queries.

    A request without an outcome yet stays a line. The outcome of a request may itself not be among `events`: it then
    takes the request's place, unless it is further up in the list of which `events` are one page.

    Args:
        events: in the order in which they are shown.
        listed: the whole list, when `events` are one page of it; None when they are everything that is shown.
    """
    events = list(events)
    jobs = {job for job in map(job_of, events) if job}
    related = Event.objects.raw(OF_JOBS, {"jobs": sorted(jobs), "requests": sorted(REQUESTS)}) if jobs else ()
    return _lines(events, list(related), listed)


def _lines(events: list[Event], related: list[Event], listed: QuerySet[Event] | None) -> list[Line]:
    """Fold; `related` are all events of the jobs that `events` name, or those of them that count."""
    last = _last_outcomes(related)
    shown = {event.sequence for event in events}
    elsewhere = _elsewhere(last, shown, listed)
    requests: dict[int, list[Event]] = {}
    for event in sorted(related, key=lambda one: one.sequence):
        outcome = last.get(job_of(event))
        if outcome is not None and _is_before(event, outcome):
            requests.setdefault(outcome.sequence, []).append(event)
    found: list[Line] = []
    placed: set[int] = set()
    for event in events:
        place = event
        outcome = last.get(job_of(event))
        if outcome is not None and _is_before(event, outcome):
            if outcome.sequence in shown or outcome.sequence in elsewhere:
                continue
            place = outcome
        if place.sequence not in placed:
            placed.add(place.sequence)
            found.append(Line(event=place, requests=tuple(requests.get(place.sequence, ()))))
    return found


def job_of(event: Event) -> str:
    """The id of the job that an event is a request for or an outcome of; empty if there is none."""
    found = JOB.search(event.details)
    if found:
        return found[1]
    return event.object_id if event.object_type == "job" and event.action in REQUESTS else ""


def _is_before(event: Event, outcome: Event) -> bool:
    """Whether `event` is a request that had been made when `outcome` was recorded."""
    return event.outcome == REQUESTED and event.action in REQUESTS and event.sequence < outcome.sequence


def _last_outcomes(related: Iterable[Event]) -> dict[str, Event]:
    """For each job the newest event that says what came of it."""
    last: dict[str, Event] = {}
    for event in related:
        job = job_of(event)
        if job and event.outcome != REQUESTED and (job not in last or last[job].sequence < event.sequence):
            last[job] = event
    return last


def _elsewhere(last: dict[str, Event], shown: set[int], listed: QuerySet[Event] | None) -> set[int]:
    """Which of the outcomes are in the list but not among the events shown."""
    others = {event.sequence for event in last.values()} - shown
    if listed is None or not others:
        return set()
    return set(listed.filter(sequence__in=others).values_list("sequence", flat=True))
