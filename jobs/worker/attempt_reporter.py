"""What keeps a claim alive while its handler works: lease, progress, log, and the reasons to stop.

The handler's thread reports and asks; `beat` talks to the database, from a thread and connection of its own, so that
neither a long computation nor a handler's own transaction delays the lease. In `direct` mode (one process, no
thread) the handler's own calls beat.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from django.conf import settings

from foundation.log_format import during
from jobs.errors import CancelledError, LeaseLostError, StoppingError
from jobs.models import Job
from jobs.queue import queue
from jobs.worker import job_log
from jobs.worker.job_log import Line, log
from jobs.worker.progress import ProgressTracker

WRITE_SPACING_S = 0.5
LOOK_SPACING_S = 2.0


class AttemptReporter:
    """The life liveness of one attempt; a `jobs.queue.context.Reporter`."""

    def __init__(self, job: Job, phases: tuple[str, ...], *, stopping: threading.Event, direct: bool) -> None:
        self.job = job
        self.tracker = ProgressTracker(phases)
        self.stopping = stopping
        self.lost = False
        self.cancelled = False
        self._direct = direct
        self._lines: deque[Line] = deque(maxlen=job_log.KEPT_LINES)
        self._renewed_at = time.monotonic()
        self._wrote_at = 0.0
        self._looked_at = self._renewed_at
        self._turn = threading.Lock()

    def progress(self, phase: str, done: int, total: int | None, unit: str, note: str) -> None:
        """Take note of progress; stored with the next beat."""
        self.tracker.update(phase, done, total, unit, note)

    def log(self, level: str, message: str, fields: dict[str, Any]) -> None:
        """Write one line to the worker's log now and to the job's with the next beat."""
        number = job_log.LEVELS.get(level, job_log.LEVELS["info"])
        line = job_log.line_of(level, message, fields)
        with during(job_id=self.job.job_id, attempt=self.job.attempts):  # a handler may log from any thread
            log.log(number, line.message, fields=line.fields)
        self._lines.append(line)

    def check(self) -> None:
        """Raise when the attempt must end.

        Raises:
            LeaseLostError: the lease is over.
            CancelledError: somebody asked for that.
            StoppingError: the worker is shutting down.
        """
        if self._direct:
            self.beat()
        if self.is_over():
            raise LeaseLostError("The lease is over; this attempt ends here.")
        if self.cancelled:
            raise CancelledError("Somebody asked for this job to be cancelled.")
        if self.stopping.is_set():
            raise StoppingError("The worker is shutting down.")

    def is_over(self) -> bool:
        """Whether the lease is over, as the database said or as this process's own clock must assume."""
        return self.lost or time.monotonic() - self._renewed_at > settings.ORCH_LEASE_SECONDS

    def beat(self) -> None:
        """Renew the lease, store progress and log lines, look for a cancel request: each when it is due.

        Raises:
            django.db.Error: the database did not answer; the next beat tries again.
        """
        with self._turn:
            if self.lost:
                return
            now = time.monotonic()
            write = self.tracker.pending and now - self._wrote_at >= WRITE_SPACING_S
            # A lease that is nearly due is renewed by a write that happens anyway, which keeps writes apart.
            renew = now - self._renewed_at >= settings.ORCH_HEARTBEAT_SECONDS - (WRITE_SPACING_S if write else 0)
            try:
                if renew or write:
                    self._store(now, renew=renew)
                elif now - self._looked_at >= LOOK_SPACING_S:
                    self._look(now)
            except LeaseLostError:
                self.lost = True
                return
            if self._lines and (write or now - self._wrote_at >= WRITE_SPACING_S):
                self._wrote_at = now
                self.store_log()

    def _store(self, now: float, *, renew: bool) -> None:
        progress = self.tracker.take() if self.tracker.pending else None
        stored = queue.heartbeat(self.job, progress, renew=renew)
        self._wrote_at = self._looked_at = now
        if renew:
            self._renewed_at = now  # from before the statement: never later than the database counts
        self._notice(cancel_requested=stored.cancel_requested)

    def _look(self, now: float) -> None:
        found = (
            Job.objects.filter(job_id=self.job.job_id, lease_token=self.job.lease_token)
            .values_list("cancel_requested", flat=True)
            .first()
        )
        if found is None:
            raise LeaseLostError("The job is no longer this worker's.")
        self._looked_at = now
        self._notice(cancel_requested=found)

    def _notice(self, *, cancel_requested: bool) -> None:
        if cancel_requested:
            self.cancelled = True

    def store_log(self) -> None:
        """Store the waiting log lines."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            job_log.append(self.job, lines)
