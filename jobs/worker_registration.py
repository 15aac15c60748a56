"""The row that tells people a worker process exists, what it is and that it lives."""

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

# Whoever was asked to finish says so from the same moment on.
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
        drains: whether somebody has asked this worker to finish its job and leave; known from the next beat on.
    """

    def __init__(self) -> None:
        self.host = socket.gethostname()
        self.worker_id = f"{self.host}:{os.getpid()}:{secrets.token_hex(3)}"
        self.jobs_done = 0
        self.current_job: UUID | None = None
        self.drains = False

    def announce(self) -> None:
        """Make the row, or renew it."""
        Worker.objects.update_or_create(
            worker_id=self.worker_id,
            defaults=self._now() | {"state": Worker.State.IDLE},
            create_defaults=self._now()
            | {
                "host": self.host,
                "pid": os.getpid(),
                "started_at": Now(),
                "version": settings.VERSION,
                "state": Worker.State.IDLE,
            },
        )

    def beat(self, *, stopping: bool) -> None:
        """Tell that this worker lives, and what it does."""
        leaving = stopping or self.drains
        values = {
            "worker": self.worker_id,
            "job": self.current_job,
            "done": self.jobs_done,
            "rss": _resident_bytes(),
            "room": json.dumps(registry.room()),
            "hindrances": json.dumps(registry.hindrances()),
            "state": Worker.State.STOPPING.value if leaving else self._state().value,
        }
        with connection.cursor() as cursor:
            cursor.execute(BEAT_SQL, values)
            found = cursor.fetchone()
        if found is None:
            self.announce()
        else:
            self.drains = self.drains or bool(found[0])

    def _state(self) -> Worker.State:
        return Worker.State.BUSY if self.current_job else Worker.State.IDLE

    def leave(self) -> None:
        """Tell that this worker has stopped."""
        self.current_job = None
        Worker.objects.filter(worker_id=self.worker_id).update(**self._now(), state=Worker.State.STOPPED)

    def _now(self) -> dict[str, object]:
        return {
            "heartbeat_at": Now(),
            "current_job": self.current_job,
            "jobs_done": self.jobs_done,
            "rss_bytes": _resident_bytes(),
            "room": registry.room(),
            "hindrances": registry.hindrances(),
        }


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def silent_since() -> timedelta:
    """How long a worker that lives may be silent before people are told so: one lease."""
    return timedelta(seconds=settings.ORCH_LEASE_SECONDS)


def live_workers() -> QuerySet[Worker]:
    """Workers heard of within two leases that have not signed off."""
    silence = timedelta(seconds=2 * settings.ORCH_LEASE_SECONDS)
    return Worker.objects.filter(~Q(state=Worker.State.STOPPED), heartbeat_at__gt=Now() - silence)


def forget_departed() -> int:
    """Remove the rows of workers not heard of for an hour; how many there were."""
    gone, _ = Worker.objects.filter(heartbeat_at__lt=Now() - KEPT_AFTER_DEATH).delete()
    return gone
