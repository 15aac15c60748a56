"""Asking for jobs one at a time of an idle worker, and timing each from before the call to the start of its work."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.queue_sides import trace

WARM_UP = 20
IDLE_S = 0.015
PATIENCE_S = 90.0  # well beyond the longest poll that a side falls back to when a notice was missed (30 s)


class Stopwatch:
    """Times jobs by the trace; `tell` prints the seconds of all but the first few."""

    def __init__(self) -> None:
        self._path = Path(os.environ[trace.VARIABLE])
        self._seconds: list[float] = []
        self._asked_at = 0

    def start(self) -> None:
        """The next thing is the call that queues a job. The worker gets time to fall idle before."""
        time.sleep(IDLE_S)
        self._before = trace.count(self._path)
        self._asked_at = time.monotonic_ns()

    def stop(self) -> None:
        """The call has returned: wait for the job to start."""
        trace.wait_for(self._path, self._before + 1, PATIENCE_S)
        (_, at), *_ = trace.records(self._path, self._before)
        self._seconds.append((at - self._asked_at) / 1e9)

    def tell(self) -> None:
        """Print what was measured, as JSON."""
        sys.stdout.write(json.dumps(self._seconds[WARM_UP:]) + "\n")


def ask(queue_one: Callable[[], object], jobs: int) -> None:
    """Queue `jobs` jobs with a plain function."""
    watch = Stopwatch()
    for _ in range(WARM_UP + jobs):
        watch.start()
        queue_one()
        watch.stop()
    watch.tell()


async def ask_async(queue_one: Callable[[], Awaitable[object]], jobs: int) -> None:
    """Queue `jobs` jobs with a coroutine; nothing else runs on the loop."""
    watch = Stopwatch()
    for _ in range(WARM_UP + jobs):
        watch.start()
        await queue_one()
        watch.stop()
    watch.tell()
