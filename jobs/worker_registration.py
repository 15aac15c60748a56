"""The row of a worker process in the database: that it exists, what it is and when it was last alive."""

from __future__ import annotations

import json
import os
import secrets
import socket
from datetime import timedelta
from uuid import UUID

import psutil
from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from jobs.models import Worker
from jobs.queue import registry

KEPT_AFTER_DEATH = timedelta(hours=1)

# A worker that was asked to drain shows as stopping from the same statement on.
BEAT_SQL = """
UPDATE orchestrator_workers
SET heartbeat_at = now(), current_job = %(job)s, jobs_done = %(done)s, rss_bytes = %(rss)s, room = %(room)s::jsonb,
    hindrances = %(hindrances)s::jsonb,
    state = CASE WHEN drain_requested_at IS NOT NULL THEN 'stopping' ELSE %(state)s END
WHERE worker_id = %(worker)s RETURNING drain_requested_at IS NOT NULL
"""


class WorkerRegistration:
    """This process's row in `orchestrator_workers`.

    Attributes:
        drain_requested: whether a person asked this worker to finish its job and leave, as of the last beat.
    """

    def __init__(self) -> None:
        self.host = socket.gethostname()
        self.worker_id = f"{self.host}:{os.getpid()}:{secrets.token_hex(3)}"
        self.jobs_done = 0
        self.current_job: UUID | None = None
        self.drain_requested = False

    def announce(self) -> None:
        """Insert the row, or update it."""
        Worker.objects.update_or_create(
            worker_id=self.worker_id,
            defaults=self._state_now() | {"state": Worker.State.IDLE},
            create_defaults=self._state_now()
            | {
                "host": self.host,
                "pid": os.getpid(),
                "started_at": Now(),
                "version": settings.VERSION,
                "state": Worker.State.IDLE,
            },
        )

    def beat(self, *, stopping: bool) -> None:
        """Record that this worker is alive and what it does; inserts the row if it is missing."""
        leaving = stopping or self.drain_requested
        values = {
            "worker": self.worker_id,
            "job": self.current_job,
            "done": self.jobs_done,
            "rss": _resident_bytes(),
            "room": json.dumps(registry.disk_space()),
            "hindrances": json.dumps(registry.hindrances()),
            "state": Worker.State.STOPPING.value if leaving else self._state().value,
        }
        with connection.cursor() as cursor:
            cursor.execute(BEAT_SQL, values)
            found = cursor.fetchone()
        if found is None:
            self.announce()
        else:
            self.drain_requested = self.drain_requested or bool(found[0])

    def _state(self) -> Worker.State:
        return Worker.State.BUSY if self.current_job else Worker.State.IDLE

    def leave(self) -> None:
        """Record that this worker has stopped."""
        self.current_job = None
        Worker.objects.filter(worker_id=self.worker_id).update(**self._state_now(), state=Worker.State.STOPPED)

    def _state_now(self) -> dict[str, object]:
        return {
            "heartbeat_at": Now(),
            "current_job": self.current_job,
            "jobs_done": self.jobs_done,
            "rss_bytes": _resident_bytes(),
            "room": registry.disk_space(),
            "hindrances": registry.hindrances(),
        }


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def silent_since() -> timedelta:
    """How long a live worker may go without a heartbeat before pages show it as silent: one lease."""
    return timedelta(seconds=settings.ORCH_LEASE_SECONDS)


def live_workers() -> QuerySet[Worker]:
    """Workers with a heartbeat within two leases that have not stopped."""
    silence = timedelta(seconds=2 * settings.ORCH_LEASE_SECONDS)
    return Worker.objects.filter(~Q(state=Worker.State.STOPPED), heartbeat_at__gt=Now() - silence)


def forget_departed() -> int:
    """Remove the rows of workers without a heartbeat for an hour; returns how many there were."""
    gone, _ = Worker.objects.filter(heartbeat_at__lt=Now() - KEPT_AFTER_DEATH).delete()
    return gone
