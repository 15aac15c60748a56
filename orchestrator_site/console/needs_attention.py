"""What Home puts first: everything that waits for a person, worst first, in few queries whatever the numbers.

Each part is bounded: what is not listed is counted, and where even counting was cut short, it says so.
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
    """Failed jobs that nothing has made good.

    Attributes:
        since: when the reader was last here; None at the first visit.
        fresh: those that failed since, newest first; some of them.
        more: how many others failed since.
        earlier: how many failed before, in words; empty when none did.
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
    """A job near the head of the queue that no live worker has room for: what it needs and the most there is, bytes."""

    job: Job
    needs: int
    most: int


def failures(found: list[Job], since: datetime | None) -> tuple[Failures, int]:
    """What failed since the reader's last visit and before, and how many in all, as far as they are counted.

    Args:
        found: the first `attention.COUNTED_UP_TO` of `attention.failed`.
        since: the reader's last visit; None when this is the first.
    """
    found = sorted(found, key=lambda job: job.completed_at or job.created_at, reverse=True)
    fresh = [job for job in found if since is None or (job.completed_at and job.completed_at > since)]
    earlier = len(found) - len(fresh)
    cut = len(found) == attention.COUNTED_UP_TO
    told = f"{earlier} or more" if cut and earlier else str(earlier) if earlier else ""
    return Failures(since=since, fresh=fresh[:SHOWN], more=max(0, len(fresh) - SHOWN), earlier=told), len(found)


def wrong_stores(workers: Iterable[Worker], known: Mapping[str, store_identity.Known], *, readable: bool) -> list[str]:
    """What this host and those of live workers say of directories that are not the database's stores; each once.

    Args:
        workers: that live.
        known: the stores that the database knows.
        readable: whether this host's bundle store can be read at all; else Home says that already.
    """
    here = [
        words for kind, words in store_identity.mismatches(known).items() if readable or kind != store_identity.BUNDLES
    ]
    elsewhere = [words for worker in workers for words in worker.hindrances.values()]
    return list(dict.fromkeys([*here, *elsewhere]))[:SHOWN]


def no_room(workers: Iterable[Worker]) -> NoRoom | None:
    """The first job near the head of the queue that is larger than any live worker has room for."""
    rooms = [worker.room for worker in workers if worker.state != Worker.State.STOPPING]
    head = Job.objects.filter(status="queued").order_by("order_at", "job_id")[:HEAD_OF_THE_QUEUE]
    here = disk_space.free_bytes(settings.OUTPUT_DIR)
    for job in head:
        told = [free[job.job_type] for free in rooms if isinstance(free.get(job.job_type), int)]
        most = max(told) if told and len(told) == len(rooms) else None if rooms else here
        if most is not None and job.needs_bytes > most:
            return NoRoom(job=job, needs=job.needs_bytes, most=max(0, most))
    return None
