"""gunicorn's threaded worker, with fewer wake-ups while idle.

gunicorn's own wakes every second for its heartbeat and to close connections. Without open connections, this one wakes
every few seconds; a connection or a signal still wakes it at once.
"""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker

IDLE_S = 10.0  # well below the time after which gunicorn takes a process for dead


class PatientWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no type information
    """Answers requests as gunicorn's `gthread` does."""

    def wait_for_and_dispatch_events(self, timeout: float) -> Any:
        """Wait for at most `timeout` seconds, or for longer when nothing but an event can need this process."""
        is_idle = self.alive and not self.nr_conns
        return super().wait_for_and_dispatch_events(IDLE_S if is_idle else timeout)
