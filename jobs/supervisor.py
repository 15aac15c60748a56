"""The supervisor: keeps N worker processes running, wakes them, recovers what dead workers left, keeps house.

A child that crashes is replaced, after a pause that grows while it keeps crashing. The children hold the reading end
of a pipe whose only writer is the supervisor: should it die in any way, they see the pipe close and leave.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from jobs import presence, queue, session, sweeps
from jobs.joblog import log
from jobs.listener import Listener
from jobs.periodic import Periodic
from jobs.stopping import Stop, watch

RECOVER_EVERY_S = 2.0
SWEEP_EVERY_S = 300.0
FORGET_EVERY_S = 60.0
LOOK_EVERY_S = 0.2
CHILDREN_MAY_TAKE_S = 9.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_AFTER_S = 60.0


@dataclass
class Seat:
    """The place of one child: whoever sits in it now, and when the next one may."""

    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    free_at: float = 0.0
    crashes: int = 0
    done: bool = False


class Supervisor:
    """Runs worker processes until asked to stop or, draining, until each has found nothing more to do.

    Args:
        concurrency: how many processes.
        drain: whether they end when nothing can be claimed.
    """

    def __init__(self, concurrency: int, *, drain: bool = False) -> None:
        self._drain = drain
        self._seats = [Seat() for _ in range(concurrency)]
        self._stop = Stop()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> int:
        """Supervise; returns the exit code: 0, or 1 when a drain ended with a crashed child."""
        session.prepare()
        watch(self._stop, self._stop.on_signals())
        tasks: list[Periodic | Listener] = [
            Periodic("recover expired leases", RECOVER_EVERY_S, queue.recover_expired),
            Periodic("sweep", SWEEP_EVERY_S, sweeps.run_all),
            Periodic("forget departed workers", FORGET_EVERY_S, presence.forget_departed),
            Listener(self._wake_write, len(self._seats)),
        ]
        for task in tasks:
            task.start()
        log.info("workers start", concurrency=len(self._seats), pid=os.getpid())
        while not self._stop.event.is_set() and not all(seat.done for seat in self._seats):
            for seat in self._seats:
                self._fill(seat)
            self._stop.event.wait(LOOK_EVERY_S)
        for task in tasks:
            task.stop()
        self._end_children()
        log.info("workers stopped")
        return int(self._drain and any(seat.crashes for seat in self._seats))

    def _fill(self, seat: Seat) -> None:
        """Start a child in an empty seat; take note of one that has ended."""
        now = time.monotonic()
        if seat.process is not None:
            code = seat.process.poll()
            if code is None:
                return
            seat.process = None
            if self._drain:
                seat.done, seat.crashes = True, int(code != 0)
                return
            seat.crashes = 1 if now - seat.since > HEALTHY_AFTER_S else seat.crashes + 1
            pause_s = min(FIRST_PAUSE_S * 2 ** (seat.crashes - 1), LONGEST_PAUSE_S)
            seat.free_at = now + pause_s
            log.error("a worker process ended unasked", code=code, replaced_in_s=pause_s)
        if not seat.done and now >= seat.free_at:
            seat.process, seat.since = self._start(), now

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "jobs.child", "drain" if self._drain else "serve", str(self._wake_read)]
        return subprocess.Popen(
            command,
            cwd=settings.BASE_DIR,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            pass_fds=(self._wake_read,),
        )

    def _end_children(self) -> None:
        """Ask every child to leave, wait, and kill who has not."""
        children = [seat.process for seat in self._seats if seat.process is not None]
        for child in children:
            if child.poll() is None:
                child.terminate()
        give_up_at = time.monotonic() + CHILDREN_MAY_TAKE_S
        for child in children:
            try:
                child.wait(timeout=max(0.0, give_up_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("a worker process did not leave in time and is killed", pid=child.pid)
                child.kill()
                child.wait()


def _environment() -> dict[str, str]:
    """The children's environment: ours, and the address of the embedded database, which they must not start."""
    known = connection.settings_dict
    address = {"DB_HOST": str(known["HOST"]), "DB_NAME": str(known["NAME"]), "DB_USER": str(known["USER"])}
    return dict(os.environ) if os.environ.get("DB_HOST") else {**os.environ, **address}
