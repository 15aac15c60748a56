"""Which kinds of job exist. Apps register theirs from `AppConfig.ready`; the queue itself knows none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from foundation.errors import InvalidRequestError
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult

if TYPE_CHECKING:  # what makes a request imports this registry
    from foundation.principal import Principal
    from jobs.models import Job
    from jobs.queue.job_result import Enqueued


@dataclass(frozen=True, kw_only=True)
class JobType:
    """One kind of job.

    Attributes:
        name: stable, as stored in `job_type`.
        title: for a person, such as "Create bundle".
        phases: the phases its progress goes through, in order.
        disk_space: returns the bytes its jobs may take on this host, None when unknown; no bound unless given.
        hindrance: tells in words why this host cannot do its jobs now, nothing when it can; it can unless given.
        handler: does the work of one attempt. It runs in a worker process, outside any transaction, and must bear
            being run again after an attempt that ended anywhere.
        again: asks for the same work once more, with every check of a first request; None when it cannot be copied.
        again_needs: the permission that `again` demands.
    """

    name: str
    title: str
    phases: tuple[str, ...]
    handler: Callable[[JobContext], JobResult]
    disk_space: Callable[[], int | None] | None = None
    hindrance: Callable[[], str] | None = None
    again: Callable[[Principal, Job], Enqueued] | None = None
    again_needs: str = ""


_types: dict[str, JobType] = {}


def register(job_type: JobType) -> None:
    """Make `job_type` known; the same name again takes the place of the one before."""
    _types[job_type.name] = job_type


def unregister(name: str) -> None:
    """Forget a job type; its jobs stay queued until some worker knows it again."""
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
    """For each type that needs disk_space on a disk, how many bytes its jobs may take on this host now."""
    told = {job_type.name: job_type.disk_space() for job_type in all() if job_type.disk_space is not None}
    return {name: free for name, free in told.items() if free is not None}


def hindrances() -> dict[str, str]:
    """For each type that this host cannot do now, why not, in words."""
    # Types share their looks; each is done once.
    asked = {look: look() for look in {job_type.hindrance for job_type in all()} if look is not None}
    told = {job_type.name: asked[job_type.hindrance] for job_type in all() if job_type.hindrance is not None}
    return {name: words for name, words in told.items() if words}


def limits() -> dict[str, int]:
    """How many jobs of a type may run at once on all hosts, for the types that have a limit."""
    return dict(settings.ORCH_JOB_LIMITS)


def all() -> tuple[JobType, ...]:  # noqa: A001 # read as registry.all()
    """Every known job type, by name."""
    return tuple(_types[name] for name in sorted(_types))
