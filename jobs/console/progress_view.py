"""A job's progress as a page shows it: its phases in order, how far it is, how fast, and the time left.

It shows only what the job reported: without a total there is no percentage, without a rate no time left. The overall
percentage counts phases as equal parts, so within one attempt it only grows.
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
class ProgressView:
    """The progress of one job.

    Attributes:
        steps: queued, the phases of the job's type, done.
        phase: the current phase, or the one in which it ended; empty before the first.
        percent: of the whole job, 0 to 100; None before the first report.
        done: units done in this phase.
        total: units in this phase, None when not known.
        unit: `bytes` or `records`.
        rate: units a second, None when not known.
        left_s: seconds left in this phase, None when not known.
        note: the job's last note.
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


def view_of(job: Job) -> ProgressView:
    """The progress of `job`, from its row and the phases of its type."""
    progress: dict[str, Any] = job.progress or {}
    phases = phases_of(job.job_type)
    phase = str(progress.get("phase") or "")
    done, total = int(progress.get("done") or 0), progress.get("total")
    rate = progress.get("rate")
    share = float(progress.get("share") or (min(1.0, done / total) if total else 0.0))
    index = phases.index(phase) if phase in phases else 0
    percent: int | None = None
    if job.is_completed:
        percent = 100
    elif phase in phases:
        percent = min(99, int(100 * (index + share) / len(phases)))
    knows_left = job.is_processing and rate and total and share >= MIN_DONE_FOR_TIME_LEFT
    return ProgressView(
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
    """The title of a job type; its name when it is not registered in this process."""
    return next((known.title for known in registry.all() if known.name == job_type), job_type)


def _steps(job: Job, phases: tuple[str, ...], phase: str) -> tuple[Step, ...]:
    names = ("queued", *phases, "done")
    current = 0
    if job.is_completed:
        current = len(names)
    elif phase in phases:
        current = 1 + phases.index(phase)
    elif job.is_processing or (job.attempts and job.is_failed):
        current = 1
    mark = "failed" if job.status in {"failed", "cancelled"} else "now"
    marks = ["done" if index < current else mark if index == current else "" for index in range(len(names))]
    if job.is_queued:
        marks = ["now", *[""] * (len(names) - 1)]
    return tuple(Step(name=name.capitalize(), mark=mark) for name, mark in zip(names, marks, strict=True))
