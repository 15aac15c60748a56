"""The life of a job as its page shows it: what happened when and how long it took, as rows and as a small drawing.

Phases are known from what the worker reported: when each began, in seconds after its attempt. A phase that ended before
the first report of progress was stored has no row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from jobs.models import Attempt, Job

WIDTH, HEIGHT = 640, 28
NARROWEST = 4.0  # of a drawn part, so that a short one beside a long one can still be seen
STARTING = "starting"
LONG_START_S = 0.5  # before the first phase; a shorter start is no row of its own
WAITS, WORKS = "waits", "works"
ENDINGS = {
    Attempt.Outcome.COMPLETED: "Completed",
    Attempt.Outcome.FAILED: "Failed",
    Attempt.Outcome.CANCELLED: "Cancelled",
    Attempt.Outcome.RELEASED: "Given back to the queue",
    Attempt.Outcome.LOST: "Lost: the worker stopped responding",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that happened.

    Attributes:
        at: when.
        what: what happened, in words.
        took_s: how long it lasted, in seconds; None for a moment.
        goes_on: whether it lasts until now.
        by: the worker, or the person, if there is one to name.
        code: the error's code, if it was an error.
        message: the error's message.
        is_phase: whether it is a phase within the attempt above it.
        is_new_day: whether the row above it is of another day in UTC.
    """

    at: datetime
    what: str
    took_s: float | None = None
    goes_on: bool = False
    by: str = ""
    code: str = ""
    message: str = ""
    is_phase: bool = False
    is_new_day: bool = False

    @property
    def took(self) -> str:
        """How long it lasted, in words; empty for a moment."""
        if self.took_s is None:
            return ""
        return f"{duration(self.took_s)}{' so far' if self.goes_on else ''}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the drawing.

    Attributes:
        kind: `waits` or `works`.
        x: its left edge, from 0 to `WIDTH`.
        width: its width.
        words: what it is and how long it took, as its title.
        place: the number of the phase within its attempt, from 0; neighbours differ.
        end: how the attempt that ends with it ended; empty inside an attempt, and while it runs.
    """

    kind: str
    x: float
    width: float
    words: str
    place: int = 0
    end: str = ""

    @property
    def right(self) -> float:
        """Its right edge."""
        return round(self.x + self.width, 1)


@dataclass(frozen=True, kw_only=True)
class Life:
    """The life of a job.

    Attributes:
        rows: first to last.
        parts: of the drawing, left to right; empty when there is nothing to draw.
        words: what the drawing shows, as a sentence.
    """

    rows: tuple[Row, ...]
    parts: tuple[Part, ...]
    words: str


@dataclass(frozen=True, kw_only=True)
class _Span:
    """A stretch of time: waiting, or one phase of an attempt."""

    kind: str
    name: str
    since: datetime
    until: datetime
    place: int = 0
    end: str = ""

    @property
    def seconds(self) -> float:
        return max(0.0, (self.until - self.since).total_seconds())


def life_of(job: Job, attempts: Sequence[Attempt]) -> Life:
    """The life of a job.

    Args:
        job: the job.
        attempts: its attempts, first to last.
    """
    now = timezone.now()
    spans = list(_spans(job, attempts, now))
    waited_s = sum(span.seconds for span in spans if span.kind == WAITS)
    worked_s = sum(span.seconds for span in spans if span.kind == WORKS)
    words = f"{duration(waited_s)} in the queue or between attempts"
    if attempts:
        words += f", {duration(worked_s)} in {len(attempts)} attempt{'s' if len(attempts) > 1 else ''}"
    rows = list(_rows(job, attempts, now))
    days = [row.at.astimezone(UTC).date() for row in rows]
    dated = (replace(row, is_new_day=place == 0 or days[place] != days[place - 1]) for place, row in enumerate(rows))
    return Life(rows=tuple(dated), parts=tuple(_parts(spans)), words=f"{words}.")


def duration_s(job: Job) -> float | None:
    """Seconds of the last attempt: until its end, or until now while it runs; None before the first."""
    if job.started_at is None or job.is_queued:
        return None
    until = job.completed_at or timezone.now()
    return max(0.0, (until - job.started_at).total_seconds())


def _rows(job: Job, attempts: Sequence[Attempt], now: datetime) -> Iterator[Row]:
    yield Row(at=job.created_at, what="Requested and queued", by=job.requested_by)
    idle_since = job.created_at
    for attempt in attempts:
        waited_s = max(0.0, (attempt.started_at - idle_since).total_seconds())
        first = idle_since == job.created_at
        yield Row(at=idle_since, what="In the queue" if first else "Until the next attempt", took_s=waited_s)
        yield from _attempt_rows(job, attempt, now)
        idle_since = attempt.ended_at or now
    if job.is_queued:
        waits_s = (now - idle_since).total_seconds()
        yield Row(at=idle_since, what="In the queue", took_s=waits_s, goes_on=True)
    elif job.is_cancelled and job.completed_at and (not attempts or attempts[-1].outcome != Attempt.Outcome.CANCELLED):
        yield Row(at=job.completed_at, what=ENDINGS[Attempt.Outcome.CANCELLED])


def _attempt_rows(job: Job, attempt: Attempt, now: datetime) -> Iterator[Row]:
    runs = attempt.ended_at is None
    took_s = ((attempt.ended_at or now) - attempt.started_at).total_seconds()
    begun, words = attempt.started_at, f"Attempt {attempt.number}"
    yield Row(at=begun, what=words, took_s=took_s, goes_on=runs, by=attempt.worker_id)
    phases = _phases(job, attempt)
    untils = [*(began_s for _, began_s in phases[1:]), took_s]
    for (name, began_s), until_s in zip(phases, untils, strict=True) if phases else ():
        at, in_phase_s = begun + timedelta(seconds=began_s), max(0.0, until_s - began_s)
        goes_on = runs and name == phases[-1][0]
        yield Row(at=at, what=name.capitalize(), took_s=in_phase_s, goes_on=goes_on, is_phase=True)
    if attempt.ended_at is not None:
        ending = ENDINGS[Attempt.Outcome(attempt.outcome)]
        yield Row(at=attempt.ended_at, what=ending, code=attempt.error_code, message=attempt.error_message)


def _spans(job: Job, attempts: Sequence[Attempt], now: datetime) -> Iterator[_Span]:
    idle_since = job.created_at
    for attempt in attempts:
        yield _Span(kind=WAITS, name="In the queue or between attempts", since=idle_since, until=attempt.started_at)
        ended = attempt.ended_at or now
        phases = _phases(job, attempt) or [("working", 0.0)]
        begins = [min(ended, attempt.started_at + timedelta(seconds=began_s)) for _, began_s in phases]
        begins[0] = attempt.started_at
        for place, (name, _) in enumerate(phases):
            last = place + 1 == len(phases)
            yield _Span(
                kind=WORKS, name=f"Attempt {attempt.number}, {name}", since=begins[place], place=place,
                until=ended if last else begins[place + 1],
                end=attempt.outcome if last and attempt.ended_at is not None else "",
            )  # fmt: skip
        idle_since = ended
    if job.is_queued:
        yield _Span(kind=WAITS, name="In the queue", since=idle_since, until=now)
    elif not attempts and job.completed_at is not None:
        yield _Span(kind=WAITS, name="In the queue or between attempts", since=idle_since, until=job.completed_at)


def _phases(job: Job, attempt: Attempt) -> list[tuple[str, float]]:
    """The phases of an attempt and when each began, in seconds after the attempt, in order; with the start, if long."""
    known: Any = attempt.phases if attempt.ended_at is not None else job.progress.get("phases_s")
    phases = sorted(dict(known or {}).items(), key=lambda phase: phase[1])
    return [(STARTING, 0.0), *phases] if phases and phases[0][1] >= LONG_START_S else phases


def _parts(spans: Sequence[_Span]) -> Iterator[Part]:
    whole_s = sum(span.seconds for span in spans)
    if whole_s <= 0:
        return
    widths = [max(NARROWEST, WIDTH * span.seconds / whole_s) for span in spans]
    scale = WIDTH / sum(widths)
    x = 0.0
    for span, width in zip(spans, widths, strict=True):
        words = f"{span.name}: {duration(span.seconds)}"
        drawn = width * scale
        yield Part(
            kind=span.kind, x=round(x, 1), width=round(drawn, 1), words=words, place=span.place % 2, end=span.end
        )
        x += drawn


def duration(seconds: float) -> str:
    """Seconds in words: with a decimal below ten, then in whole seconds, minutes and hours."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
