"""The supervisor: keeps N worker processes running, and one upkeep process for their host.

It loads the product once and forks, so that its processes share that memory and start at once. It has no threads and no
database connection: it never blocks, and a fork copies no lock and no connection. It sleeps until a child ends, a
signal comes, or the next check for hanging processes is due.

A child that crashes or hangs is replaced, one at a time, after a pause that grows with each crash in a row. A drained
one is not, until SIGHUP (`systemctl reload`) or a restart. The children hold the reading end of a pipe whose only
writer is the supervisor: when it dies, the pipe closes and they leave. systemd is notified that the service is ready
once every worker has started, and that it is alive only while this loop runs and no child hangs.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time

from django.db import connection

from foundation import process_memory
from foundation.log_format import logger
from jobs.models import RestartReason
from jobs.worker import worker_process
from jobs.worker.forked_process import Forked
from jobs.worker.liveness import Liveness
from jobs.worker.sd_notify import ServiceManager
from jobs.worker.shutdown import SIGNALS, pipe_of
from jobs.worker.worker_slot import WorkerSlot

log = logger("jobs")

CHECK_EVERY_S = 2.0
CHECK_CLOSELY_EVERY_S = 0.5
SHORTEST_SLEEP_MS = 10.0
CHILDREN_MAY_TAKE_S = 9.0


class Supervisor:
    """Runs worker processes until asked to stop or, with `drain`, until each has found nothing more to do.

    Args:
        concurrency: how many processes.
        drain: whether they leave when nothing can be claimed.
    """

    def __init__(self, concurrency: int, *, drain: bool = False) -> None:
        self._drain = drain
        self._liveness = Liveness(concurrency + 1)
        self._slots = [WorkerSlot(number, self._liveness, drain) for number in range(concurrency)]
        self._upkeep = WorkerSlot(concurrency, self._liveness, drain=False)
        self._all = [self._upkeep, *self._slots]
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._parent_pipe_read, self._parent_pipe_write = os.pipe2(os.O_CLOEXEC)
        self._restarts_read, self._restarts_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._started = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._signals = -1
        self._stopping = False
        self._manager = ServiceManager(os.environ)
        self._ready = False
        self._last_summary = ""
        self._watchdog_fed_at = 0.0

    def run(self) -> int:
        """Supervise; returns the exit code: 0, or 1 when a drain ended with a crashed child."""
        connection.close()
        self._signals = pipe_of(*SIGNALS, signal.SIGHUP, signal.SIGCHLD)
        process_memory.share()
        log.info("workers start", concurrency=len(self._slots), pid=os.getpid())
        while not self._stopping and not all(slot.done for slot in self._slots):
            self._check()
            self._report()
            self._wait()
        self._manager.notify(STOPPING="1", STATUS="giving jobs back")
        self._end_children()
        log.info("workers stopped")
        return int(self._drain and any(slot.crashes for slot in self._slots))

    def _wait(self) -> None:
        """Sleep until something happens or the next check is due."""
        poll = select.poll()
        for number in (self._signals, self._started):
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(max(SHORTEST_SLEEP_MS, self._due_s() * 1000)):
            if number == self._started:
                os.eventfd_read(self._started)
                continue
            came = set(os.read(self._signals, 64))
            self._stopping = self._stopping or bool(came & set(SIGNALS))
            if signal.SIGHUP in came:
                self._fill_drained()

    def _due_s(self) -> float:
        """Seconds until the next check is due, if nothing happens before."""
        now = time.monotonic()
        closely = any(slot.is_suspect or slot.is_starting for slot in self._all)
        due_at = [now + (CHECK_CLOSELY_EVERY_S if closely else CHECK_EVERY_S)]
        due_at += [slot.restart_at for slot in self._all if slot.may_start(max(now, slot.restart_at))]
        if self._manager.watchdog_s and not any(slot.hangs for slot in self._all):
            due_at.append(self._watchdog_fed_at + self._manager.watchdog_s / 3)
        return min(due_at) - now

    def _check(self) -> None:
        """Check every slot: count ended processes, kill hanging ones and start new ones, one at a time."""
        now = time.monotonic()
        for slot in self._all:
            ended = slot.check(now)
            if ended is not None:
                self._report_restart(*ended, slot)
        if self._upkeep.process is None:
            self._liveness.notices_arrive = False
        hanging = [slot for slot in self._all if slot.hangs]
        if hanging and not any(slot.is_being_replaced for slot in self._all if slot not in hanging):
            hanging[0].kill()
        for slot in self._all:
            if slot.may_start(now) and not any(other.is_starting for other in self._all):
                slot.start(lambda slot=slot: self._start(slot), now)  # type: ignore[misc] # bound at once

    def _report_restart(self, reason: RestartReason, detail: str, slot: WorkerSlot) -> None:
        """Hand a restart to the upkeep, which counts it when the database answers."""
        if slot is self._upkeep:
            self._wake_all()
            detail = f"{detail} (upkeep)"
        try:
            os.write(self._restarts_write, json.dumps([reason.value, detail]).encode() + b"\n")
        except BlockingIOError:
            log.warning("a restart is not counted", reason=reason.label, detail=detail)

    def _wake_all(self) -> None:
        """Let idle workers poll while no process listens for notices."""
        self._liveness.notices_arrive = False
        try:
            os.write(self._wake_write, b"." * len(self._slots))
        except BlockingIOError:
            return

    def _fill_drained(self) -> None:
        drained = [slot for slot in self._slots if slot.drained]
        log.info("asked to fill the places of drained workers", places=len(drained))
        for slot in drained:
            slot.fill()

    def _report(self) -> None:
        """Notify the service manager of changes, and that this process is alive."""
        live = sum(slot.is_alive for slot in self._slots)
        crashed, recycled = sum(slot.crashed for slot in self._slots), sum(slot.recycled for slot in self._slots)
        drained = sum(slot.drained for slot in self._slots)
        if not self._ready and live == len(self._slots) - drained:
            self._ready = True
            self._manager.notify(READY="1")
        summary = f"{live} of {len(self._slots)} worker processes live; {crashed} crashed, {recycled} recycled"
        summary += f", {drained} drained" if drained else ""
        if summary != self._last_summary:
            self._last_summary = summary
            self._manager.notify(STATUS=summary)
        now = time.monotonic()
        due_s = self._manager.watchdog_s
        hangs = any(slot.hangs for slot in self._all)
        if due_s and now - self._watchdog_fed_at >= due_s / 3 and not hangs:
            self._watchdog_fed_at = now
            self._manager.notify(WATCHDOG="1")

    def _start(self, slot: WorkerSlot) -> Forked:
        close = [self._parent_pipe_write, self._restarts_write, self._signals]
        if slot is self._upkeep:
            return Forked(
                "orch-upkeep",
                lambda: worker_process.run_upkeep(
                    self._liveness,
                    slot.number,
                    wake=self._wake_write,
                    restarts=self._restarts_read,
                    readers=len(self._slots),
                    parent_pipe=self._parent_pipe_read,
                    started=self._started,
                    close=close,
                ),
            )
        return Forked(
            f"orch-worker-{slot.number}",
            lambda: worker_process.work(
                self._liveness,
                slot.number,
                wake=self._wake_read,
                parent_pipe=self._parent_pipe_read,
                started=self._started,
                close=[*close, self._wake_write],
                until_idle=self._drain,
            ),
        )

    def _end_children(self) -> None:
        """Ask every child to leave, wait, and kill those that have not."""
        children = [slot.process for slot in self._all if isinstance(slot.process, Forked)]
        for one in children:
            one.terminate()
        give_up_at = time.monotonic() + CHILDREN_MAY_TAKE_S
        for one in children:
            if one.wait(timeout=max(0.0, give_up_at - time.monotonic())) is None:
                log.error("a process did not leave in time and is killed", pid=one.pid)
                one.kill()
                one.wait(timeout=CHILDREN_MAY_TAKE_S)
