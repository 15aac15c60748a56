"""Keeps a claim alive while its handler works: renews the lease, stores progress and log, finds reasons to stop.

The handler's thread reports and checks. `beat` talks to the database, in a thread with a connection of its own, so that
neither a long computation nor a handler's own transaction delays the renewal. In `direct` mode there is no thread: the
handler's own calls of `check` call `beat`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from django.conf import settings

from foundation.log_format import during, logger
from jobs.errors import CancelledError, LeaseLostError, StoppingError
from jobs.models import Job
from jobs.queue import queue
from jobs.worker import job_log
from jobs.worker.job_log import Line
from jobs.worker.progress import ProgressTracker

log = logger("jobs")

WRITE_SPACING_S = 0.5
LOOK_SPACING_S = 2.0


class AttemptReporter:
    """The heartbeat of one attempt; a `jobs.queue.context.Reporter`.

    Args:
        job: as `queue.claim` returned it.
        phases: the phases of its type.
        stopping: set when the worker shuts down.
        direct: whether `check` calls `beat`, for a worker without a heartbeat thread.

    Attributes:
        lost: whether the database has refused a write because the lease was over.
        cancelled: whether cancelling was requested.
    """

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
        self._checked_at = self._renewed_at
        self._lock = threading.Lock()

    def progress(self, phase: str, done: int, total: int | None, unit: str, note: str) -> None:
        """Record progress; `beat` stores it."""
        self.tracker.update(phase, done, total, unit, note)

    def log(self, level: str, message: str, fields: dict[str, Any]) -> None:
        """Write one line to the worker's log; `beat` stores it in the job's."""
        number = job_log.LEVELS.get(level, job_log.LEVELS["info"])
        line = job_log.line_of(level, message, fields)
        with during(job_id=self.job.job_id, attempt=self.job.attempts):  # a handler may log from any thread
            log.log(number, line.message, fields=line.fields)
        self._lines.append(line)

    def check(self) -> None:
        """Raise when the attempt must end.

        Raises:
            LeaseLostError: the lease is over.
            CancelledError: cancelling was requested.
            StoppingError: the worker is shutting down.
        """
        if self._direct:
            self.beat()
        if self.is_over():
            raise LeaseLostError("The lease is over; this attempt ends here.")
        if self.cancelled:
            raise CancelledError("Cancelling this job was requested.")
        if self.stopping.is_set():
            raise StoppingError("The worker is shutting down.")

    def is_over(self) -> bool:
        """Whether the lease is over, by the database or by this process's own clock."""
        return self.lost or time.monotonic() - self._renewed_at > settings.ORCH_LEASE_SECONDS

    def beat(self) -> None:
        """Renew the lease, store progress and log lines, check for a cancel request: each when it is due.

        Raises:
            django.db.Error: the database did not answer; the next call tries again.
        """
        with self._lock:
            if self.lost:
                return
            now = time.monotonic()
            write = self.tracker.pending and now - self._wrote_at >= WRITE_SPACING_S
            # A renewal that is nearly due goes with a write of progress, which keeps writes apart.
            renew = now - self._renewed_at >= settings.ORCH_HEARTBEAT_SECONDS - (WRITE_SPACING_S if write else 0)
            try:
                if renew or write:
                    self._store(now, renew=renew)
                elif now - self._checked_at >= LOOK_SPACING_S:
                    self._check_claim(now)
            except LeaseLostError:
                self.lost = True
                return
            if self._lines and (write or now - self._wrote_at >= WRITE_SPACING_S):
                self._wrote_at = now
                self.store_log()

    def _store(self, now: float, *, renew: bool) -> None:
        stored = queue.heartbeat(self.job, self.take_progress(), renew=renew)
        self._wrote_at = self._checked_at = now
        if renew:
            self._renewed_at = now  # taken before the statement: never later than by the database's clock
        self.cancelled = self.cancelled or stored.cancel_requested

    def _check_claim(self, now: float) -> None:
        found = (
            Job.objects.filter(job_id=self.job.job_id, lease_token=self.job.lease_token)
            .values_list("cancel_requested", flat=True)
            .first()
        )
        if found is None:
            raise LeaseLostError("The job is no longer this worker's.")
        self._checked_at = now
        self.cancelled = self.cancelled or found

    def take_progress(self) -> dict[str, Any] | None:
        """The progress that is not stored yet, which the caller stores; `None` when there is none."""
        return self.tracker.take() if self.tracker.pending else None

    def store_log(self) -> None:
        """Store the log lines that are not stored yet."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            job_log.append(self.job, lines)
