"""When a worker process is replaced by a fresh one, between two jobs.

This bounds the memory that a library leaks or the allocator never returns. A recycled process is not a crash.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import psutil
from django.conf import settings

EXIT_CODE = 75  # EX_TEMPFAIL: neither success nor a crash; the supervisor starts a new process on the slot
DRAINED_EXIT_CODE = 76  # no crash either; the supervisor leaves the slot empty until SIGHUP or a restart
MEMORY_CHECK_SPACING_S = 1.0  # each check costs as much as a short job


@dataclass
class Bounds:
    """How many jobs one process may do and how much memory it may hold. Zero means no bound.

    Attributes:
        jobs: attempts in all.
        memory_bytes: resident memory after a job; checked at most once a second.
    """

    jobs: int
    memory_bytes: int
    _checked_at: float = -math.inf

    def reached(self, jobs_done: int) -> str:
        """Why this process must be replaced; empty while it need not. Never before its first job."""
        if not jobs_done:
            return ""
        if self.jobs and jobs_done >= self.jobs:
            return f"{jobs_done} jobs done"
        if not self.memory_bytes or time.monotonic() - self._checked_at < MEMORY_CHECK_SPACING_S:
            return ""
        self._checked_at = time.monotonic()
        resident = psutil.Process().memory_info().rss
        return f"{resident // 2**20} MiB of memory" if resident > self.memory_bytes else ""


def bounds_from_settings() -> Bounds:
    """The bounds of the settings."""
    return Bounds(settings.ORCH_WORKER_RECYCLE_JOBS, settings.ORCH_WORKER_RECYCLE_MEMORY_MB * 2**20)
