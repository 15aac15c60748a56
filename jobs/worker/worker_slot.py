"""One worker slot of a supervisor: its process, its health, its next restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from django.conf import settings

from foundation.log_format import logger
from jobs.models import RestartReason
from jobs.worker import liveness, recycling
from jobs.worker.liveness import Liveness
from jobs.worker.stall import Stall
from jobs.worker_restarts import how_it_ended

log = logger("jobs")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_AFTER_S = 60.0
START_WITHIN_S = 180.0
TOLERANCE_S = 2.0  # how much longer than a lease a process may be silent
LONGEST_CHECK_GAP_S = 4.0  # between two checks, unless the supervisor itself is delayed


class Process(Protocol):
    """A process on a slot, such as `jobs.worker.forked_process.Forked`."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code; `None` while it runs."""

    def kill(self) -> None:
        """Send SIGKILL."""


@dataclass
class WorkerSlot:
    """One worker slot: the place of one worker process, or of the upkeep, under the supervisor.

    Attributes:
        number: from 0.
        liveness: where its process gives signs of life.
        drain: whether the supervisor drains: an ended process is replaced only if it was recycled.
        process: the process that runs on it, if any.
        started_at: when that process was started, by `time.monotonic`.
        restart_at: the earliest time of the next start, by `time.monotonic`.
        crashes: crashes in a row.
        crashed: crashes in all.
        recycled: recycled processes in all.
        drained: whether a person drained its worker; no process is started until `fill`.
        done: whether no process will be started any more.
    """

    number: int
    liveness: Liveness
    drain: bool
    process: Process | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    crashes: int = 0
    crashed: int = 0
    recycled: int = 0
    drained: bool = False
    done: bool = False
    _stall: Stall | None = None
    _kill_reason: RestartReason | None = None

    def check(self, now: float) -> tuple[RestartReason, str] | None:
        """Check the process; returns why and how it ended if it ended and counts as a restart."""
        if self.process is None or self._stall is None:
            return None
        code = self.process.poll()
        if code is not None:
            self.process = self._stall = None
            return self._record_end(code, now)
        self._stall.observe(self.liveness.last_sign(self.number) or self.started_at, now, closely=self.is_suspect)
        return None

    def may_start(self, now: float) -> bool:
        """Whether a process may be started now."""
        return self.process is None and not self.done and not self.drained and now >= self.restart_at

    def start(self, begin: Callable[[], Process], now: float) -> None:
        """Start a process with `begin`."""
        self.liveness.reset(self.number)
        self.process, self.started_at, self._kill_reason = begin(), now, None
        self._stall = Stall(self.process.pid, LONGEST_CHECK_GAP_S)

    def fill(self) -> None:
        """Allow a process again after a drain."""
        self.drained = False

    @property
    def is_starting(self) -> bool:
        """Whether its process has given no sign of life yet."""
        return self.process is not None and self.liveness.last_sign(self.number) is None

    @property
    def is_being_replaced(self) -> bool:
        """Whether its process was killed and the next one has given no sign of life yet."""
        return self._kill_reason is not None or self.is_starting

    @property
    def is_alive(self) -> bool:
        """Whether its process has given a sign of life and does not hang."""
        return self.process is not None and not self.is_starting and not self.hangs

    @property
    def is_suspect(self) -> bool:
        """Whether its process has missed a sign of life."""
        if self.process is None:
            return False
        silent_s = time.monotonic() - (self.liveness.last_sign(self.number) or self.started_at)
        return silent_s > 2 * liveness.interval_s()

    @property
    def hangs(self) -> bool:
        """Whether its process has been silent for longer than a lease, or than a start may take while it starts.

        Its lease is over, and it keeps the slot from a process that could work.
        """
        limit_s = max(START_WITHIN_S, _limit_s()) if self.is_starting else _limit_s()
        return self._stall is not None and self._stall.seconds(time.monotonic()) > limit_s

    def kill(self) -> None:
        """Kill a process that hangs."""
        if self.process is None or self._kill_reason is not None:
            return
        self._kill_reason = RestartReason.NOT_UP if self.is_starting else RestartReason.SILENT
        log.error("a process is killed and replaced", pid=self.process.pid, reason=self._kill_reason.label)
        self.process.kill()

    def _record_end(self, code: int, now: float) -> tuple[RestartReason, str] | None:
        if code == recycling.EXIT_CODE:
            self.recycled += 1
            self.crashes, self.restart_at = 0, now
            return None
        if code == recycling.DRAINED_EXIT_CODE and not self.drain:
            self.drained, self.crashes, self.restart_at = True, 0, now
            log.info("a worker process has left as it was asked; its place stays empty until SIGHUP or a restart")
            return None
        if self.drain:
            self.done, self.crashes = True, int(code not in {0, recycling.DRAINED_EXIT_CODE})
            return None
        self.crashed += 1
        self.crashes = 1 if now - self.started_at > HEALTHY_AFTER_S else self.crashes + 1
        pause_s = min(FIRST_PAUSE_S * 2 ** (self.crashes - 1), LONGEST_PAUSE_S)
        self.restart_at = now + pause_s
        how = how_it_ended(code)
        if self._kill_reason is None:
            log.error("a process ended unasked", how=how, replaced_in_s=pause_s)
        return self._kill_reason or RestartReason.CRASHED, how


def _limit_s() -> float:
    return settings.ORCH_LEASE_SECONDS + TOLERANCE_S
