"""The maintenance process of a host: announces new work to its workers, recovers jobs, sweeps, counts restarts.

It is a separate process, as the supervisor must have no threads (it forks) and must never block. When it dies it is
replaced like a worker; meanwhile idle workers poll.
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
from foundation.log_format import logger
from jobs import worker_restarts
from jobs.models import RestartReason
from jobs.queue import queue
from jobs.worker import sweeps
from jobs.worker.listener import Listener
from jobs.worker.liveness import Liveness
from jobs.worker.periodic import Periodic
from jobs.worker.shutdown import Stop, watch

log = logger("jobs")

LONGEST_WAIT_S = 15.0  # between two recoveries of expired leases
SHORTEST_WAIT_S = 0.5
AFTER_EXPIRY_S = 0.05
RECOVERY_MAY_TAKE_S = 3  # so that a half-dead connection delays no job for long
SWEEP_EVERY_S = 300.0
SWEEP_MAY_TAKE_S = 60
LOOK_EVERY_S = 5.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
READ_BYTES = 65536


class Upkeep:
    """Runs the maintenance of one host until asked to stop or the supervisor dies.

    Args:
        liveness: where to record whether notices arrive.
        wake: writing end of the pipe on which new work is announced to the workers of this host.
        restarts: reading end of the pipe to which the supervisor writes restarts, one JSON array a line.
        readers: how many workers read from `wake`.
        parent_pipe: reading end of a pipe that closes when the supervisor dies.
    """

    def __init__(self, liveness: Liveness, *, wake: int, restarts: int, readers: int, parent_pipe: int) -> None:
        self._stop = Stop()
        self._parent_pipe = parent_pipe
        self._restarts = restarts
        self._uncounted: deque[tuple[RestartReason, str]] = deque(maxlen=1000)
        self._threads: list[Periodic | Listener] = [
            Periodic("sweep", SWEEP_EVERY_S, sweeps.run_all, statement_s=SWEEP_MAY_TAKE_S)
        ]
        if sweeps.has_often():
            self._threads.append(Periodic("look", LOOK_EVERY_S, sweeps.run_often, statement_s=SWEEP_MAY_TAKE_S))
        if not settings.ORCH_DB_POOLED:
            self._threads.append(Listener(wake, readers, liveness))

    def run(self) -> None:
        """Run until asked to stop."""
        db_session.prepare()
        watch(self._stop, self._stop.on_signals(), parent_pipe=self._parent_pipe, leave=lambda: os._exit(0))
        for thread in self._threads:
            thread.start()
        db_session.limit_statements(RECOVERY_MAY_TAKE_S)
        pause_s = 0.0
        while not self._stop.event.is_set():
            try:
                wait_s = self._recover_and_count()
                pause_s = 0.0
            except Error as error:
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2 or FIRST_PAUSE_S)
                wait_s = pause_s * random.uniform(0.5, 1.5)  # noqa: S311 # spreads load, guards nothing
                self._after_failure(error, pause_s)
            self._wait(wait_s)
        for thread in self._threads:
            thread.stop()
        connection.close()

    def _recover_and_count(self) -> float:
        """Recover jobs whose lease has expired and count restarts; returns the seconds until the next time."""
        queue.recover_expired()
        while self._uncounted:
            worker_restarts.note(*self._uncounted[0])
            self._uncounted.popleft()
        longest_s = min(LONGEST_WAIT_S, settings.ORCH_LEASE_SECONDS)  # a lease taken from now on lasts as long
        expiry_s = queue.next_expiry_s()
        if expiry_s is None:
            return longest_s
        return min(longest_s, max(SHORTEST_WAIT_S, expiry_s + AFTER_EXPIRY_S))

    def _after_failure(self, error: Error, pause_s: float) -> None:
        """Warn once for an outage, not for a connection that was only cut: the next one may work at once."""
        if pause_s == FIRST_PAUSE_S:
            log.info("the upkeep connects anew", error=db_session.one_line(error))
        elif pause_s == 2 * FIRST_PAUSE_S:
            log.warning("the database does not answer; recovery tries on", error=db_session.one_line(error))
        connection.close()

    def _wait(self, seconds: float) -> None:
        """Wait for a restart to count, for the request to stop, or for `seconds`."""
        readable, _, _ = select.select([self._stop.fileno, self._restarts], [], [], seconds)
        if self._restarts in readable:
            for line in os.read(self._restarts, READ_BYTES).splitlines():
                reason, detail = json.loads(line)
                self._uncounted.append((RestartReason(reason), detail))
