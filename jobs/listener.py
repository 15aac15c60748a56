"""One listener for the workers of a host: turns the database's notices into bytes on a pipe.

It survives a dropped connection and a restarted server. After each connect it wakes everyone, as notices may have
been missed; without it, polling goes on.
"""

from __future__ import annotations

import os
import random
import select
import threading
from typing import Any

from django.db import Error, connection

from jobs import session
from jobs.joblog import log
from jobs.wakeup import CHANNEL

PROBE_S = 10.0
PROBE_ANSWER_S = 5
LONGEST_PAUSE_S = 5.0


class Listener(threading.Thread):
    """Writes one byte to `wake` for each notice; a reader takes one byte and looks for work."""

    def __init__(self, wake: int, readers: int) -> None:
        super().__init__(name="listener", daemon=True)
        self._wake = wake
        self._readers = readers
        self._over = threading.Event()

    def stop(self) -> None:
        """End within the time of one probe; does not wait."""
        self._over.set()

    def run(self) -> None:
        """Listen; when the connection breaks, connect again with growing pauses."""
        session.limit_statements(PROBE_ANSWER_S)
        pause_s = 0.2
        while not self._over.is_set():
            try:
                self._subscribe()
                pause_s = 0.2
                self._tell(self._readers)
                while not self._over.is_set():
                    self._wait()
            except (Error, OSError) as error:
                log.warning("listening is interrupted; polling goes on", error=str(error).strip())
                connection.close()
                self._over.wait(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 # spreads load, guards nothing
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        connection.close()

    def _subscribe(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")

    def _wait(self) -> None:
        raw: Any = connection.connection
        readable, _, _ = select.select([raw], [], [], PROBE_S)
        if not readable:
            with connection.cursor() as cursor:  # a half-dead connection shows here, if not before
                cursor.execute("SELECT 1")
        with connection.wrap_database_errors:
            raw.poll()
        self._tell(len(raw.notifies))
        raw.notifies.clear()

    def _tell(self, notices: int) -> None:
        for _ in range(min(notices, self._readers)):
            try:
                os.write(self._wake, b".")
            except BlockingIOError:  # full: everyone has been told more than once
                return
