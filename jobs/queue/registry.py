"""Registry of job types. Apps register theirs in `AppConfig.ready`; the queue itself has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from foundation.errors import InvalidRequestError
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult

if TYPE_CHECKING:  # modules that enqueue import this one
    from foundation.principal import Principal
    from jobs.models import Job
    from jobs.queue.job_result import Enqueued


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """Something outside that jobs need and that may be away for a while.

    Attributes:
        name_of: what a job waits for, stable, as stored in `waits_for`.
        title: for a person, such as "the sources"; in the plural.
        is_available: checks now whether a job's dependency is available; may take a few seconds.
    """

    name_of: Callable[[Job], str]
    title: str
    is_available: Callable[[Job], bool]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The result of a completed job in a few words, and the kind of state (`ok`, `verified`, `partial`, `unsafe`)."""

    kind: str
    words: str


@dataclass(frozen=True, kw_only=True)
class JobType:
    """One job type.

    Attributes:
        name: stable, as stored in `job_type`.
        title: for a person, such as "Create bundle".
        phases: the phases its progress goes through, in order.
        handler: does the work of one attempt. It runs in a worker process, outside any transaction, and must be able
            to run again after an attempt that ended at any point.
        disk_space: returns the bytes that its jobs may take on this host, None when unknown; `None`: no bound.
        hindrance: returns why this host cannot do its jobs now, as a sentence, empty when it can; `None`: it can.
        resubmit: asks for the work of a job again, with every check of a first request; None: it cannot be copied.
        resubmit_needs: the permission that `resubmit` checks.
        dependency: what a failed job may wait for before it is retried; None: there is nothing such.
        summary: the result of a completed job in a few words; None: there is nothing to add to "Completed".
        offers: what the page of a completed job shows beyond its result, by name; None: nothing.
    """

    name: str
    title: str
    phases: tuple[str, ...]
    handler: Callable[[JobContext], JobResult]
    disk_space: Callable[[], int | None] | None = None
    hindrance: Callable[[], str] | None = None
    resubmit: Callable[[Principal, Job], Enqueued] | None = None
    resubmit_needs: str = ""
    dependency: Dependency | None = None
    summary: Callable[[Job], Summary] | None = None
    offers: Callable[[Job], dict[str, Any]] | None = None


_types: dict[str, JobType] = {}


def register(job_type: JobType) -> None:
    """Add `job_type`; the same name again replaces the earlier one."""
    _types[job_type.name] = job_type


def unregister(name: str) -> None:
    """Remove a job type; its jobs stay queued until a worker knows it again."""
    _types.pop(name, None)


def get(name: str) -> JobType:
    """The job type called `name`.

    Raises:
        InvalidRequestError: there is none.
    """
    try:
        return _types[name]
    except KeyError:
        raise InvalidRequestError(f"There is no job type {name!r} here.", {"job_type": "unknown"}) from None


def disk_space() -> dict[str, int]:
    """How many bytes jobs may take on this host now, for each type that needs disk space and where that is known."""
    found = {job_type.name: job_type.disk_space() for job_type in all() if job_type.disk_space is not None}
    return {name: free for name, free in found.items() if free is not None}


def hindrances() -> dict[str, str]:
    """Why this host cannot do a job type now, as a sentence, for each type that it cannot do."""
    # Types share their checks; each runs once.
    found = {check: check() for check in {job_type.hindrance for job_type in all()} if check is not None}
    by_type = {job_type.name: found[job_type.hindrance] for job_type in all() if job_type.hindrance is not None}
    return {name: reason for name, reason in by_type.items() if reason}


def limits() -> dict[str, int]:
    """How many jobs of a type may run at once on all hosts, for the types that have a limit."""
    return dict(settings.ORCH_JOB_LIMITS)


def all() -> tuple[JobType, ...]:  # noqa: A001 # read as registry.all()
    """Every registered job type, sorted by name."""
    return tuple(_types[name] for name in sorted(_types))
