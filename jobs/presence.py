"""The row that tells people a worker process exists, what it is and that it lives."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import timedelta
from uuid import UUID

import psutil
from django.conf import settings
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from jobs import registry
from jobs.models import Worker

KEPT_AFTER_DEATH = timedelta(hours=1)


class Presence:
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
        asked = Worker.objects.filter(worker_id=self.worker_id, drain_requested_at__isnull=False)
        self.drains = self.drains or asked.exists()
        state = Worker.State.BUSY if self.current_job else Worker.State.IDLE
        found = Worker.objects.filter(worker_id=self.worker_id).update(
            **self._now(), state=Worker.State.STOPPING if stopping or self.drains else state
        )
        if not found:
            self.announce()

    def leave(self) -> None:
        """Tell that this worker has stopped."""
        self.current_job = None
        Worker.objects.filter(worker_id=self.worker_id).update(**self._now(), state=Worker.State.STOPPED)

    def _now(self) -> dict[str, object]:
        return {
            "heartbeat_at": Now(),
            "current_job": self.current_job,
            "jobs_done": self.jobs_done,
            "rss_bytes": psutil.Process().memory_info().rss,
            "room": registry.room(),
            "hindrances": registry.hindrances(),
        }


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
