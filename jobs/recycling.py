"""When a worker process has done enough and makes way for a fresh one, between two jobs.

Memory that a library leaks or the allocator never gives back then stays bounded. A recycled process is no crash.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil
from django.conf import settings

EXIT_CODE = 75  # EX_TEMPFAIL: neither success nor a crash; tells the supervisor to fill the seat again
DRAINED_EXIT_CODE = 76  # likewise no crash; tells it to leave the seat empty until it is told to fill it


@dataclass(frozen=True)
class Bounds:
    """How much one process may do and hold. Zero means without bound.

    Attributes:
        jobs: attempts in all.
        memory_bytes: resident memory after a job.
    """

    jobs: int
    memory_bytes: int

    def reached(self, jobs_done: int) -> str:
        """Why this process must make way; empty while it need not. Never before its first job."""
        if not jobs_done:
            return ""
        if self.jobs and jobs_done >= self.jobs:
            return f"{jobs_done} jobs done"
        resident = psutil.Process().memory_info().rss if self.memory_bytes else 0
        if resident > self.memory_bytes:
            return f"{resident // 2**20} MiB of memory"
        return ""


def bounds_from_settings() -> Bounds:
    """The bounds that the settings ask for."""
    return Bounds(settings.ORCH_WORKER_RECYCLE_JOBS, settings.ORCH_WORKER_RECYCLE_MEMORY_MB * 2**20)
