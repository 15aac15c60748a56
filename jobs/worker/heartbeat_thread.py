"""The thread that keeps a worker process's row and its current claim alive.

While a job runs, the thread writes both, on a connection of its own. While none runs, it sleeps without a connection,
and the worker's main thread updates the row (`update_registration`).
"""

from __future__ import annotations

import threading
import time

from django.conf import settings
from django.db import Error, connection

from foundation import db_session, process_memory
from foundation.log_format import during, logger
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker_registration import WorkerRegistration

log = logger("jobs")

TICK_S = 0.25
LINGER_S = 5.0  # after a job: the next one often comes soon


class HeartbeatThread(threading.Thread):
    """Renews the claim and the row of one worker process until `stop`."""

    def __init__(self, registration: WorkerRegistration, stopping: threading.Event) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._registration = registration
        self._stopping = stopping
        self._stopped = threading.Event()
        self._needed = threading.Event()
        self._lock = threading.Lock()
        self._reporter: AttemptReporter | None = None
        self._watched_at = 0.0
        self._updated_at = 0.0

    def watch(self, reporter: AttemptReporter) -> None:
        """Renew the claim of this attempt from now on."""
        with self._lock:
            self._reporter = reporter
            self._watched_at = time.monotonic()
        if not self._needed.is_set():
            self._needed.set()

    def rest(self) -> None:
        """Stop writing to the job; returns once no write is in progress."""
        with self._lock:
            self._reporter = None

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._needed.set()
        self.join(timeout=2)

    def update_registration(self) -> float:
        """Update this worker's row if that is due; returns the seconds until it is due next.

        Raises:
            django.db.Error: the database did not answer.
        """
        due_s = self._updated_at + settings.ORCH_HEARTBEAT_SECONDS - time.monotonic()
        if due_s > 0:
            return due_s
        started = time.monotonic()
        self._registration.beat(stopping=self._stopping.is_set())
        self._updated_at = started
        return float(settings.ORCH_HEARTBEAT_SECONDS)

    def run(self) -> None:
        """Beat while jobs run."""
        db_session.limit_statements(max(1, settings.ORCH_HEARTBEAT_SECONDS))
        while not self._stopped.is_set():
            self._needed.wait()
            self._beat_while_needed()
            connection.close()
            process_memory.give_back()

    def _beat_while_needed(self) -> None:
        """Beat until no job has run for `LINGER_S`; when the database does not answer, try again at the next tick."""
        failing = False
        while not self._stopped.wait(TICK_S) and self._is_needed():
            try:
                self._beat()
                if failing:
                    log.info("the heartbeat is back")
                failing = False
            except Error as error:
                if not failing:  # once for an outage, not four times a second
                    reporter = self._reporter
                    with during(**({} if reporter is None else {"job_id": reporter.job.job_id})):
                        log.warning("no heartbeat; trying on", error=db_session.one_line(error))
                failing = True
                connection.close()

    def _is_needed(self) -> bool:
        with self._lock:
            if self._reporter is None and time.monotonic() - self._watched_at > LINGER_S:
                self._needed.clear()
        return self._needed.is_set()

    def _beat(self) -> None:
        with self._lock:
            if self._reporter is not None:
                self._reporter.beat()
        self.update_registration()
