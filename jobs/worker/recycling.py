"""When a worker process has done enough and makes way for a fresh one, between two jobs.

Memory that a library leaks or the allocator never gives back then stays bounded. A recycled process is no crash.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import psutil
from django.conf import settings

EXIT_CODE = 75  # EX_TEMPFAIL: neither success nor a crash; tells the supervisor to fill the slot again
DRAINED_EXIT_CODE = 76  # likewise no crash; tells it to leave the slot empty until it is told to fill it


LOOK_SPACING_S = 1.0  # between two looks at the memory: each costs as much as a short job


@dataclass
class Bounds:
    """How much one process may do and hold. Zero means without bound.

    Attributes:
        jobs: attempts in all.
        memory_bytes: resident memory after a job; looked at after the first, and then once a second at most.
    """

    jobs: int
    memory_bytes: int
    _looked_at: float = -math.inf

    def reached(self, jobs_done: int) -> str:
        """Why this process must make way; empty while it need not. Never before its first job."""
        if not jobs_done:
            return ""
        if self.jobs and jobs_done >= self.jobs:
            return f"{jobs_done} jobs done"
        if not self.memory_bytes or time.monotonic() - self._looked_at < LOOK_SPACING_S:
            return ""
        self._looked_at = time.monotonic()
        resident = psutil.Process().memory_info().rss
        return f"{resident // 2**20} MiB of memory" if resident > self.memory_bytes else ""


def bounds_from_settings() -> Bounds:
    """The bounds that the settings ask for."""
    return Bounds(settings.ORCH_WORKER_RECYCLE_JOBS, settings.ORCH_WORKER_RECYCLE_MEMORY_MB * 2**20)
