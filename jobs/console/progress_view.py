"""A job's course as a page shows it: phases in order, how far, how fast, how long still.

Says only what the job itself reported: without a total there is no percentage, without a rate no time left. The
overall percentage counts phases as equal parts, so within one attempt it can only grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.job_json import phases_of
from jobs.models import Job
from jobs.queue import registry

MIN_DONE_FOR_TIME_LEFT = 0.02


@dataclass(frozen=True, kw_only=True)
class Step:
    """One phase. `mark` is `done`, `now`, `failed` or empty (still to come)."""

    name: str
    mark: str


@dataclass(frozen=True, kw_only=True)
class Course:
    """How far a job has come.

    Attributes:
        steps: queued, the phases of the job's type, done.
        phase: the phase at work or where it ended; empty before the first.
        percent: of the whole job, 0 to 100; None when nothing was reported.
        done: units done in this phase.
        total: units in this phase, None when not known.
        unit: `bytes` or `records`.
        rate: units a second, None when not known.
        left_s: seconds left in this phase, None when not known.
        note: what the job says about this moment.
    """

    steps: tuple[Step, ...]
    phase: str
    percent: int | None
    done: int
    total: int | None
    unit: str
    rate: float | None
    left_s: float | None
    note: str


def course_of(job: Job) -> Course:
    """Read the course of `job` from its row and its type's phases."""
    progress: dict[str, Any] = job.progress or {}
    phases = phases_of(job.job_type)
    phase = str(progress.get("phase") or "")
    done, total = int(progress.get("done") or 0), progress.get("total")
    rate = progress.get("rate")
    share = float(progress.get("share") or (min(1.0, done / total) if total else 0.0))
    place = phases.index(phase) if phase in phases else 0
    percent: int | None = None
    if job.is_completed:
        percent = 100
    elif phase in phases:
        percent = min(99, int(100 * (place + share) / len(phases)))
    knows_left = job.is_processing and rate and total and share >= MIN_DONE_FOR_TIME_LEFT
    return Course(
        steps=_steps(job, phases, phase),
        phase=phase,
        percent=percent,
        done=done,
        total=total,
        unit=str(progress.get("unit") or "bytes"),
        rate=rate if job.is_processing else None,
        left_s=(total - done) / rate if knows_left and rate and total else None,
        note=str(progress.get("note") or ""),
    )


def title_of(job_type: str) -> str:
    """The words for a job type, its name when no app of this process registers it."""
    return next((kind.title for kind in registry.all() if kind.name == job_type), job_type)


def _steps(job: Job, phases: tuple[str, ...], phase: str) -> tuple[Step, ...]:
    names = ("queued", *phases, "done")
    here = 0
    if job.is_completed:
        here = len(names)
    elif phase in phases:
        here = 1 + phases.index(phase)
    elif job.is_processing or (job.attempts and job.is_failed):
        here = 1
    now = "failed" if job.status in {"failed", "cancelled"} else "now"
    marks = ["done" if place < here else now if place == here else "" for place in range(len(names))]
    if job.is_queued:
        marks = ["now", *[""] * (len(names) - 1)]
    return tuple(Step(name=name.capitalize(), mark=mark) for name, mark in zip(names, marks, strict=True))
