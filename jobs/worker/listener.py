"""One listener for the workers of a host: turns the database's notices into bytes on a pipe.

It survives a dropped connection and a restarted server. It wakes all workers after each connect, as notices may have
been missed, and when listening ends, as workers then poll more often.
"""

from __future__ import annotations

import heapq
import os
import random
import select
import threading
import time
from typing import Any

from django.db import Error, connection

from foundation import db_session
from foundation.log_format import logger
from jobs.queue.wakeup import CHANNEL, due_in_s
from jobs.worker.liveness import Liveness

log = logger("jobs")

PROBE_S = 15.0
PROBE_ANSWER_S = 5
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
MAX_DUE = 10_000  # jobs that become due later; idle workers find further ones by polling


class Listener(threading.Thread):
    """Writes one byte to `wake` for each notice; a worker takes one byte and looks for work.

    Args:
        wake: writing end of the pipe.
        readers: how many workers read from it.
        liveness: where it records whether notices arrive.
    """

    def __init__(self, wake: int, readers: int, liveness: Liveness) -> None:
        super().__init__(name="listener", daemon=True)
        self._wake = wake
        self._readers = readers
        self._liveness = liveness
        self._due: list[float] = []
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End after the next probe at the latest; does not wait for that."""
        self._stopped.set()

    def run(self) -> None:
        """Listen; when the connection breaks, connect again with growing pauses."""
        db_session.limit_statements(PROBE_ANSWER_S)
        pause_s = FIRST_PAUSE_S
        while not self._stopped.is_set():
            try:
                self._subscribe()
                pause_s = FIRST_PAUSE_S
                self._liveness.notices_arrive = True
                self._wake_workers(self._readers)
                while not self._stopped.is_set():
                    self._wait()
            except (Error, OSError) as error:
                connection.close()
                if pause_s == FIRST_PAUSE_S:  # once for an outage
                    self._liveness.notices_arrive = False
                    self._wake_workers(self._readers)
                    log.warning("listening is interrupted; polling goes on", error=db_session.one_line(error))
                self._stopped.wait(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 # spreads load, guards nothing
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._liveness.notices_arrive = False
        connection.close()

    def _subscribe(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")

    def _wait(self) -> None:
        raw: Any = connection.connection
        until_due_s = self._due[0] - time.monotonic() if self._due else PROBE_S
        readable, _, _ = select.select([raw], [], [], max(0.0, min(PROBE_S, until_due_s)))
        if not readable and until_due_s >= PROBE_S:
            with connection.cursor() as cursor:  # finds a half-dead connection
                cursor.execute("SELECT 1")
        with connection.wrap_database_errors:
            raw.poll()
        now = time.monotonic()
        at_once = 0
        for notice in raw.notifies:
            if not (due_s := due_in_s(notice.payload)):
                at_once += 1
            elif len(self._due) < MAX_DUE:
                heapq.heappush(self._due, now + due_s)
        raw.notifies.clear()
        while self._due and self._due[0] <= now:
            heapq.heappop(self._due)
            at_once += 1
        self._wake_workers(at_once)

    def _wake_workers(self, notices: int) -> None:
        for _ in range(min(notices, self._readers)):
            try:
                os.write(self._wake, b".")
            except BlockingIOError:  # full: every worker has unread bytes
                return
