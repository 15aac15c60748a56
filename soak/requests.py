"""The requests of people during chaos (bundles, restores, a few cancels), and which of them were accepted.

A request whose answer was lost with the database counts as unanswered, though it may have been carried out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from uuid import UUID

from django.core.management import call_command
from django.db import Error, connection

from bundles import services as bundle_services
from bundles.models import Bundle
from foundation.principal import SYSTEM
from jobs import services as job_services
from jobs.errors import JobError
from jobs.models import ACTIVE, Job
from rehydration import services as restore_services
from rehydration.errors import RestoreError
from soak.deployment import write_incident

MOST_ACTIVE = 8
EVERY_S = 0.25
FREE_SHARE = 0.4
SMALL_INCIDENTS = 4


def incidents_in(own: Path, folders: Sequence[Path]) -> list[str]:
    """Write the sample incident and some small ones to `own`; returns the ids of all incidents in `folders`."""
    with open(os.devnull, "w") as silence:
        call_command("make_sample_incident", str(own), stdout=silence)
    for number in range(SMALL_INCIDENTS):
        write_incident(own, f"small-{number}", [("note.txt", b"note" * number), ("dump.bin", bytes(100_000 * number))])
    return sorted(path.parent.name for folder in folders for path in folder.glob("*/timeline.json"))


class Requests:
    """Makes random requests at intervals; bundles only while `FREE_SHARE` of the stores' file system is free."""

    def __init__(self, incidents: list[str], random: Random, stores: Path) -> None:
        self.incidents = incidents
        self.accepted: set[UUID] = set()
        self.unanswered = 0
        self._random = random
        self._stores = stores
        self._next_at = 0.0

    def ask(self) -> None:
        """Make the next request if it is time."""
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + EVERY_S
        self._count_if_lost(self._ask)

    def active(self) -> int:
        """How many jobs are active; 1 while the database does not answer."""
        counted: list[int] = []
        self._count_if_lost(lambda: counted.append(Job.objects.filter(status__in=ACTIVE).count()))
        return counted[0] if counted else 1

    def _count_if_lost(self, request: Callable[[], object]) -> None:
        try:
            request()
        except Error:
            self.unanswered += 1
            connection.close()

    def _ask(self) -> None:
        choice, turn = self._random.random(), self._random.random()
        active = list(Job.objects.filter(status__in=ACTIVE).values_list("job_id", flat=True))
        usage = shutil.disk_usage(self._stores)
        if choice < 0.01 and active:
            with contextlib.suppress(JobError):  # it has just ended
                job_services.cancel(SYSTEM, active[int(turn * len(active))])
        elif len(active) >= MOST_ACTIVE:
            return
        elif choice < 0.25 and Bundle.objects.exists():
            made = Bundle.objects.order_by("bundle_id")[int(turn * Bundle.objects.count())]
            with contextlib.suppress(RestoreError):
                requested = restore_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id))
                self.accepted.add(requested.job.job_id)
        elif usage.free > usage.total * FREE_SHARE:
            incident_id = self.incidents[int(turn * len(self.incidents))]
            self.accepted.add(bundle_services.request_bundle(SYSTEM, incident_id=incident_id).job.job_id)
