"""The supervisor: keeps N worker processes running, wakes them, recovers what dead workers left, keeps house.

A child that crashes is replaced, after a pause that grows while it keeps crashing; one that a person has drained is
not, until SIGHUP (`systemctl reload`) or a restart says so. The children hold the reading end of a pipe whose only
writer is the supervisor: should it die in any way, they see the pipe close and leave. systemd is
told what is true: ready once every child has started, alive only while this loop turns and no child hangs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

from django.conf import settings
from django.db import connection

from jobs import presence, queue, service_manager, session, sweeps
from jobs.joblog import log
from jobs.life_signs import LifeSigns
from jobs.listener import Listener
from jobs.periodic import Periodic
from jobs.seat import Seat
from jobs.service_manager import ServiceManager
from jobs.stopping import Stop, watch

RECOVER_EVERY_S = 2.0
RECOVERY_MAY_TAKE_S = 3  # no job waits long for a supervisor whose connection is half dead
SWEEP_EVERY_S = 300.0
FORGET_EVERY_S = 60.0
LOOK_EVERY_S = 0.2
CHILDREN_MAY_TAKE_S = 9.0


class Supervisor:
    """Runs worker processes until asked to stop or, draining, until each has found nothing more to do.

    Args:
        concurrency: how many processes.
        drain: whether they end when nothing can be claimed.
    """

    def __init__(self, concurrency: int, *, drain: bool = False) -> None:
        self._drain = drain
        self._signs = LifeSigns(concurrency)
        self._seats = [Seat(number, self._signs, drain) for number in range(concurrency)]
        self._stop = Stop()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._manager = ServiceManager(os.environ)
        self._fill = threading.Event()
        self._ready = False
        self._told = ""
        self._fed_at = 0.0

    def run(self) -> int:
        """Supervise; returns the exit code: 0, or 1 when a drain ended with a crashed child."""
        session.prepare()
        watch(self._stop, self._stop.on_signals())
        signal.signal(signal.SIGHUP, lambda *_: self._fill.set())
        tasks = self._tasks()
        for task in tasks:
            task.start()
        log.info("workers start", concurrency=len(self._seats), pid=os.getpid())
        while not self._stop.event.is_set() and not all(seat.done for seat in self._seats):
            if self._fill.is_set():
                self._fill.clear()
                self._fill_drained()
            for seat in self._seats:
                seat.look_after(self._start)
            self._report()
            self._stop.event.wait(LOOK_EVERY_S)
        self._manager.tell(STOPPING="1", STATUS="giving jobs back")
        for task in tasks:
            task.stop()
        self._end_children()
        log.info("workers stopped")
        return int(self._drain and any(seat.crashes for seat in self._seats))

    def _tasks(self) -> list[Periodic | Listener]:
        tasks: list[Periodic | Listener] = [
            Periodic("recover expired leases", RECOVER_EVERY_S, queue.recover_expired, statement_s=RECOVERY_MAY_TAKE_S),
            Periodic("sweep", SWEEP_EVERY_S, sweeps.run_all, statement_s=60),
            Periodic("forget departed workers", FORGET_EVERY_S, presence.forget_departed, statement_s=60),
        ]
        if not settings.ORCH_DB_POOLED:
            tasks.append(Listener(self._wake_write, len(self._seats)))
        return tasks

    def _fill_drained(self) -> None:
        drained = [seat for seat in self._seats if seat.drained]
        log.info("asked to fill the places of drained workers", places=len(drained))
        for seat in drained:
            seat.fill()

    def _report(self) -> None:
        """Tell the service manager what has changed, and that this process lives."""
        live = sum(seat.lives for seat in self._seats)
        crashed, recycled = sum(seat.crashed for seat in self._seats), sum(seat.recycled for seat in self._seats)
        drained = sum(seat.drained for seat in self._seats)
        if not self._ready and live == len(self._seats) - drained:
            self._ready = True
            self._manager.tell(READY="1")
        summary = f"{live} of {len(self._seats)} worker processes live; {crashed} crashed, {recycled} recycled"
        summary += f", {drained} drained" if drained else ""
        if summary != self._told:
            self._told = summary
            self._manager.tell(STATUS=summary)
        now = time.monotonic()
        due_s = self._manager.watchdog_s
        if due_s and now - self._fed_at >= due_s / 3 and not any(seat.silent for seat in self._seats):
            self._fed_at = now
            self._manager.tell(WATCHDOG="1")

    def _start(self, seat: int) -> subprocess.Popen[bytes]:
        numbers = (self._wake_read, self._signs.fileno, len(self._seats), seat)
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.child", "drain" if self._drain else "serve", *map(str, numbers)],
            cwd=settings.BASE_DIR,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            pass_fds=(self._wake_read, self._signs.fileno),
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
    ours = {name: value for name, value in os.environ.items() if name not in service_manager.VARIABLES}
    return ours if os.environ.get("DB_HOST") else {**ours, **address}
