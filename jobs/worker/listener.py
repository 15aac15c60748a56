"""One listener for the workers of a host: turns the database's notices into bytes on a pipe.

It survives a dropped connection and a restarted server. After each connect, and when listening ends, it wakes
everyone: notices may have been missed, and from then on workers look for work by themselves more often.
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
from jobs.queue.wakeup import CHANNEL, due_in_s
from jobs.worker.job_log import log
from jobs.worker.liveness import Liveness

PROBE_S = 15.0
PROBE_ANSWER_S = 5
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
MOST_DUE = 10_000  # of the jobs that become due later; idle workers find what is more by themselves


class Listener(threading.Thread):
    """Writes one byte to `wake` for each notice; a reader takes one byte and looks for work.

    Args:
        wake: writing end of the pipe.
        readers: how many there are.
        liveness: where it says whether notices arrive.
    """

    def __init__(self, wake: int, readers: int, liveness: Liveness) -> None:
        super().__init__(name="listener", daemon=True)
        self._wake = wake
        self._readers = readers
        self._liveness = liveness
        self._due: list[float] = []
        self._over = threading.Event()

    def stop(self) -> None:
        """End within the time of one probe; does not wait."""
        self._over.set()

    def run(self) -> None:
        """Listen; when the connection breaks, connect again with growing pauses."""
        db_session.limit_statements(PROBE_ANSWER_S)
        pause_s = FIRST_PAUSE_S
        while not self._over.is_set():
            try:
                self._subscribe()
                pause_s = FIRST_PAUSE_S
                self._liveness.notices_arrive = True
                self._tell(self._readers)
                while not self._over.is_set():
                    self._wait()
            except (Error, OSError) as error:
                connection.close()
                if pause_s == FIRST_PAUSE_S:  # once an outage
                    self._liveness.notices_arrive = False
                    self._tell(self._readers)
                    log.warning("listening is interrupted; polling goes on", error=db_session.one_line(error))
                self._over.wait(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 # spreads load, guards nothing
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
            with connection.cursor() as cursor:  # a half-dead connection shows here, if not before
                cursor.execute("SELECT 1")
        with connection.wrap_database_errors:
            raw.poll()
        now = time.monotonic()
        at_once = 0
        for notice in raw.notifies:
            if not (due_s := due_in_s(notice.payload)):
                at_once += 1
            elif len(self._due) < MOST_DUE:
                heapq.heappush(self._due, now + due_s)
        raw.notifies.clear()
        while self._due and self._due[0] <= now:
            heapq.heappop(self._due)
            at_once += 1
        self._tell(at_once)

    def _tell(self, notices: int) -> None:
        for _ in range(min(notices, self._readers)):
            try:
                os.write(self._wake, b".")
            except BlockingIOError:  # full: everyone has been told more than once
                return
