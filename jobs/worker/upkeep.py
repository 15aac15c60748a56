"""The process that keeps house for the workers of a host: announces new work, recovers, sweeps, counts restarts.

A process of its own, as the supervisor may have no threads (it forks) and nothing that could hold it up. When it dies
it is replaced like a worker; meanwhile idle workers look for work by themselves.
"""

from __future__ import annotations

import json
import os
import random
import select
from collections import deque

from django.conf import settings
from django.db import Error, connection

from foundation import db_session
from jobs import worker_restarts
from jobs.models import RestartReason
from jobs.queue import queue
from jobs.worker import sweeps
from jobs.worker.job_log import log
from jobs.worker.listener import Listener
from jobs.worker.liveness import Liveness
from jobs.worker.periodic import Periodic
from jobs.worker.shutdown import Stop, watch

LONGEST_LOOK_S = 15.0  # between two looks for expired leases
SHORTEST_LOOK_S = 0.5
AFTER_EXPIRY_S = 0.05
RECOVERY_MAY_TAKE_S = 3  # no job waits long for an upkeep whose connection is half dead
SWEEP_EVERY_S = 300.0
SWEEP_MAY_TAKE_S = 60
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
READ_BYTES = 65536


class Upkeep:
    """Keeps house until asked to stop or the supervisor has died.

    Args:
        liveness: where to say whether notices arrive.
        wake: writing end of the pipe on which new work is announced to the workers of this host.
        restarts: reading end of the pipe from which the supervisor's restarts come, one JSON text a line.
        readers: how many workers read from `wake`.
        life: reading end of a pipe that only the supervisor can write to.
    """

    def __init__(self, liveness: Liveness, *, wake: int, restarts: int, readers: int, life: int) -> None:
        self._stop = Stop()
        self._life = life
        self._restarts = restarts
        self._uncounted: deque[tuple[RestartReason, str]] = deque(maxlen=1000)
        self._threads: list[Periodic | Listener] = [
            Periodic("sweep", SWEEP_EVERY_S, sweeps.run_all, statement_s=SWEEP_MAY_TAKE_S)
        ]
        if not settings.ORCH_DB_POOLED:
            self._threads.append(Listener(wake, readers, liveness))

    def run(self) -> None:
        """Keep house."""
        db_session.prepare()
        watch(self._stop, self._stop.on_signals(), life=self._life, leave=lambda: os._exit(0))
        for thread in self._threads:
            thread.start()
        db_session.limit_statements(RECOVERY_MAY_TAKE_S)
        pause_s = 0.0
        while not self._stop.event.is_set():
            try:
                wait_s = self._look()
                pause_s = 0.0
            except Error as error:
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2 or FIRST_PAUSE_S)
                wait_s = pause_s * random.uniform(0.5, 1.5)  # noqa: S311 # spreads load, guards nothing
                self._after_failure(error, pause_s)
            self._wait(wait_s)
        for thread in self._threads:
            thread.stop()
        connection.close()

    def _look(self) -> float:
        """Recover what has expired and count restarts; how long nothing is due, in seconds."""
        queue.recover_expired()
        while self._uncounted:
            worker_restarts.note(*self._uncounted[0])
            self._uncounted.popleft()
        longest_s = min(LONGEST_LOOK_S, settings.ORCH_LEASE_SECONDS)  # leases taken from now on last as long
        expiry_s = queue.next_expiry_s()
        if expiry_s is None:
            return longest_s
        return min(longest_s, max(SHORTEST_LOOK_S, expiry_s + AFTER_EXPIRY_S))

    def _after_failure(self, error: Error, pause_s: float) -> None:
        """Say it once an outage, and not for a connection that was only cut: the next one may serve at once."""
        if pause_s == FIRST_PAUSE_S:
            log.info("the upkeep connects anew", error=db_session.one_line(error))
        elif pause_s == 2 * FIRST_PAUSE_S:
            log.warning("the database does not answer; recovery tries on", error=db_session.one_line(error))
        connection.close()

    def _wait(self, seconds: float) -> None:
        """Wait for a restart to count, for the wish to stop, or for `seconds`."""
        readable, _, _ = select.select([self._stop.fileno, self._restarts], [], [], seconds)
        if self._restarts in readable:
            for line in os.read(self._restarts, READ_BYTES).splitlines():
                reason, detail = json.loads(line)
                self._uncounted.append((RestartReason(reason), detail))
