"""What keeps a worker process's row and its current claim alive.

While a job runs, a thread does that, on a connection of its own. While none does, the thread sleeps without a
connection, and the worker's own thread tells that it lives (`present`).
"""

from __future__ import annotations

import threading
import time

from django.conf import settings
from django.db import Error, connection

from foundation import db_session, process_memory
from foundation.log_format import during
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.job_log import log
from jobs.worker_registration import WorkerRegistration

TICK_S = 0.25
LINGER_S = 5.0  # after a job, as the next one often comes soon


class HeartbeatThread(threading.Thread):
    """Beats for one worker process until `stop`."""

    def __init__(self, registration: WorkerRegistration, stopping: threading.Event) -> None:
        super().__init__(name="heart", daemon=True)
        self._registration = registration
        self._stopping = stopping
        self._over = threading.Event()
        self._needed = threading.Event()
        self._turn = threading.Lock()
        self._pulse: AttemptReporter | None = None
        self._watched_at = 0.0
        self._present_at = 0.0

    def watch(self, reporter: AttemptReporter) -> None:
        """Keep this claim alive from now on."""
        with self._turn:
            self._pulse = reporter
            self._watched_at = time.monotonic()
        if not self._needed.is_set():
            self._needed.set()

    def rest(self) -> None:
        """Stop writing to the claim; returns once no write is under way."""
        with self._turn:
            self._pulse = None

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self._needed.set()
        self.join(timeout=2)

    def present(self) -> float:
        """Tell that this worker lives, if that is due; when it will be, in seconds from now.

        Raises:
            django.db.Error: the database did not answer.
        """
        due_s = self._present_at + settings.ORCH_HEARTBEAT_SECONDS - time.monotonic()
        if due_s > 0:
            return due_s
        started = time.monotonic()
        self._registration.beat(stopping=self._stopping.is_set())
        self._present_at = started
        return float(settings.ORCH_HEARTBEAT_SECONDS)

    def run(self) -> None:
        """Beat while there are jobs."""
        db_session.limit_statements(max(1, settings.ORCH_HEARTBEAT_SECONDS))
        while not self._over.is_set():
            self._needed.wait()
            self._beat_on()
            connection.close()
            process_memory.give_back()

    def _beat_on(self) -> None:
        """Beat until there has been no job for a while; a database that does not answer is tried again each time."""
        failing = False
        while not self._over.wait(TICK_S) and self._is_needed():
            try:
                self._beat()
                if failing:
                    log.info("the heartbeat is back")
                failing = False
            except Error as error:
                if not failing:  # once an outage, not four times a second
                    reporter = self._pulse
                    with during(**({} if reporter is None else {"job_id": reporter.job.job_id})):
                        log.warning("no heartbeat; trying on", error=db_session.one_line(error))
                failing = True
                connection.close()

    def _is_needed(self) -> bool:
        with self._turn:
            if self._pulse is None and time.monotonic() - self._watched_at > LINGER_S:
                self._needed.clear()
        return self._needed.is_set()

    def _beat(self) -> None:
        with self._turn:
            if self._pulse is not None:
                self._pulse.beat()
        self.present()
