"""What Home shows under "Needs attention", in a constant number of queries.

Each part lists a few rows and counts the others; if the count is limited, the text says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from bundles.storage import store_identity
from jobs.console import attention
from jobs.models import Job, Worker
from jobs.queue import disk_space

SHOWN = 5
HEAD_OF_THE_QUEUE = 100


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Failed jobs that are not resolved.

    Attributes:
        since: the user's last visit; None at the first visit.
        fresh: jobs that failed since then, newest first, at most `SHOWN`.
        more: how many others failed since then.
        earlier: how many failed before, in words; empty if none.
    """

    since: datetime | None
    fresh: list[Job]
    more: int
    earlier: str

    @property
    def any(self) -> bool:
        """Whether there is something to show."""
        return bool(self.fresh or self.earlier)


@dataclass(frozen=True, kw_only=True)
class NoRoom:
    """A job near the head of the queue that fits on no live worker's disk: needed and available space in bytes."""

    job: Job
    needs: int
    most: int


def failures(found: list[Job], since: datetime | None) -> tuple[Failures, int]:
    """Jobs that failed since the user's last visit and before, and how many in total, up to the counting limit.

    Args:
        found: the first `attention.COUNTED_UP_TO` of `attention.failed`.
        since: the user's last visit; None at the first visit.
    """
    found = sorted(found, key=lambda job: job.completed_at or job.created_at, reverse=True)
    fresh = [job for job in found if since is None or (job.completed_at and job.completed_at > since)]
    earlier = len(found) - len(fresh)
    cut = len(found) == attention.COUNTED_UP_TO
    words = f"{earlier} or more" if cut and earlier else str(earlier) if earlier else ""
    return Failures(since=since, fresh=fresh[:SHOWN], more=max(0, len(fresh) - SHOWN), earlier=words), len(found)


def wrong_stores(workers: Iterable[Worker], known: Mapping[str, store_identity.Known], *, readable: bool) -> list[str]:
    """Directories that are not the registered stores, on this host and on the hosts of live workers; each once.

    Args:
        workers: the live workers.
        known: the stores registered in the database.
        readable: whether this host's bundle store can be read; if not, Home already reports that.
    """
    here = [
        words for kind, words in store_identity.mismatches(known).items() if readable or kind != store_identity.BUNDLES
    ]
    elsewhere = [words for worker in workers for words in worker.hindrances.values()]
    return list(dict.fromkeys([*here, *elsewhere]))[:SHOWN]


def no_room(workers: Iterable[Worker]) -> NoRoom | None:
    """The first job near the head of the queue that fits on no live worker's disk."""
    rooms = [worker.room for worker in workers if worker.state != Worker.State.STOPPING]
    head = Job.objects.filter(status="queued").order_by("order_at", "job_id")[:HEAD_OF_THE_QUEUE]
    here = disk_space.free_bytes(settings.OUTPUT_DIR)
    for job in head:
        reported = [free[job.job_type] for free in rooms if isinstance(free.get(job.job_type), int)]
        most = max(reported) if reported and len(reported) == len(rooms) else None if rooms else here
        if most is not None and job.needs_bytes > most:
            return NoRoom(job=job, needs=job.needs_bytes, most=max(0, most))
    return None
