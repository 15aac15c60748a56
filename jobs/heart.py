"""The thread of a worker process that keeps its row and its current claim alive, on a connection of its own."""

from __future__ import annotations

import threading
import time

from django.conf import settings
from django.db import Error, connection

from jobs import session
from jobs.joblog import log
from jobs.log_format import during
from jobs.presence import Presence
from jobs.pulse import Pulse

TICK_S = 0.25


class Heart(threading.Thread):
    """Beats for one worker process until `stop`."""

    def __init__(self, presence: Presence, stopping: threading.Event) -> None:
        super().__init__(name="heart", daemon=True)
        self._presence = presence
        self._stopping = stopping
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._pulse: Pulse | None = None
        self._present_at = 0.0

    def watch(self, pulse: Pulse) -> None:
        """Keep this claim alive from now on."""
        with self._turn:
            self._pulse = pulse

    def rest(self) -> None:
        """Stop writing to the claim; returns once no write is under way."""
        with self._turn:
            self._pulse = None

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join(timeout=2)

    def run(self) -> None:
        """Beat; a database that does not answer is tried again at the next tick."""
        session.limit_statements(max(1, settings.ORCH_HEARTBEAT_SECONDS))
        failing = False
        while True:
            try:
                self._beat()
                if failing:
                    log.info("the heartbeat is back")
                failing = False
            except Error as error:
                if not failing:  # once an outage, not four times a second
                    pulse = self._pulse
                    with during(**({} if pulse is None else {"job_id": pulse.job.job_id})):
                        log.warning("no heartbeat; trying on", error=str(error).strip())
                failing = True
                connection.close()
            if self._over.wait(TICK_S):
                break
        connection.close()

    def _beat(self) -> None:
        with self._turn:
            if self._pulse is not None:
                self._pulse.beat()
        now = time.monotonic()
        if now - self._present_at >= settings.ORCH_HEARTBEAT_SECONDS:
            self._presence.beat(stopping=self._stopping.is_set())
            self._present_at = now
