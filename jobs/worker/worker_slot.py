"""The place of one process of a supervisor: who sits in it, whether they live, and when the next one may sit down."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from django.conf import settings

from jobs.models import RestartReason
from jobs.worker import liveness, recycling
from jobs.worker.job_log import log
from jobs.worker.liveness import Liveness
from jobs.worker.stall import Stall
from jobs.worker_restarts import how_it_ended

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_AFTER_S = 60.0
UP_WITHIN_S = 180.0
LATE_S = 2.0  # how much longer than a lease a process may stand still
LONGEST_LOOK_S = 4.0  # between two looks of a supervisor that is not held up itself


class Process(Protocol):
    """What a slot needs of a process; `jobs.worker.forked_process.Forked` is one."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code; `None` while it runs."""

    def kill(self) -> None:
        """End it."""


@dataclass
class WorkerSlot:
    """One place.

    Attributes:
        number: from 0.
        liveness: where its process gives its liveness of life.
        drain: whether a process that ends with code 0 has left because there is no more to do.
        process: who sits here, if anybody.
        since: when they sat down, on `time.monotonic`.
        free_at: when the next one may.
        crashes: in a row.
        crashed: in all.
        recycled: in all.
        drained: whether a person has asked for it to be empty; nobody sits down until `fill`.
        done: whether nobody will sit here any more.
    """

    number: int
    liveness: Liveness
    drain: bool
    process: Process | None = None
    since: float = 0.0
    free_at: float = 0.0
    crashes: int = 0
    crashed: int = 0
    recycled: int = 0
    drained: bool = False
    done: bool = False
    _stall: Stall | None = None
    _killed_as: RestartReason | None = None

    def look(self, now: float) -> tuple[RestartReason, str] | None:
        """Take note of what the process does; why and how it ended, when it did and has to be replaced."""
        if self.process is None or self._stall is None:
            return None
        code = self.process.poll()
        if code is not None:
            self.process = self._stall = None
            return self._note_end(code, now)
        self._stall.look(self.liveness.last(self.number) or self.since, now, closely=self.is_suspect)
        return None

    def may_start(self, now: float) -> bool:
        """Whether somebody may sit down now."""
        return self.process is None and not self.done and not self.drained and now >= self.free_at

    def start(self, begin: Callable[[], Process], now: float) -> None:
        """Let somebody sit down."""
        self.liveness.forget(self.number)
        self.process, self.since, self._killed_as = begin(), now, None
        self._stall = Stall(self.process.pid, LONGEST_LOOK_S)

    def fill(self) -> None:
        """Let somebody sit here again."""
        self.drained = False

    @property
    def is_coming_up(self) -> bool:
        """Whether somebody sits here who has given no sign of life yet."""
        return self.process is not None and self.liveness.last(self.number) is None

    @property
    def is_replaced(self) -> bool:
        """Whether the process that stood still here has been killed and nobody works here again yet."""
        return self._killed_as is not None or self.is_coming_up

    @property
    def lives(self) -> bool:
        """Whether somebody sits here who has given a sign of life and does not hang."""
        return self.process is not None and not self.is_coming_up and not self.hangs

    @property
    def is_suspect(self) -> bool:
        """Whether its process has been silent for longer than it should be."""
        if self.process is None:
            return False
        silent_s = time.monotonic() - (self.liveness.last(self.number) or self.since)
        return silent_s > 2 * liveness.every_s()

    @property
    def hangs(self) -> bool:
        """Whether its process has stood still for longer than a lease, or since its start for longer than that takes.

        Its lease is over, and while it sits here nobody else can work.
        """
        limit_s = max(UP_WITHIN_S, _limit_s()) if self.is_coming_up else _limit_s()
        return self._stall is not None and self._stall.seconds(time.monotonic()) > limit_s

    def kill(self) -> None:
        """End a process that hangs."""
        if self.process is None or self._killed_as is not None:
            return
        self._killed_as = RestartReason.NOT_UP if self.is_coming_up else RestartReason.SILENT
        log.error("a process is killed and replaced", pid=self.process.pid, reason=self._killed_as.label)
        self.process.kill()

    def _note_end(self, code: int, now: float) -> tuple[RestartReason, str] | None:
        if code == recycling.EXIT_CODE:
            self.recycled += 1
            self.crashes, self.free_at = 0, now
            return None
        if code == recycling.DRAINED_EXIT_CODE and not self.drain:
            self.drained, self.crashes, self.free_at = True, 0, now
            log.info("a worker process has left as it was asked; its place stays empty until SIGHUP or a restart")
            return None
        if self.drain:
            self.done, self.crashes = True, int(code not in {0, recycling.DRAINED_EXIT_CODE})
            return None
        self.crashed += 1
        self.crashes = 1 if now - self.since > HEALTHY_AFTER_S else self.crashes + 1
        pause_s = min(FIRST_PAUSE_S * 2 ** (self.crashes - 1), LONGEST_PAUSE_S)
        self.free_at = now + pause_s
        how = how_it_ended(code)
        if self._killed_as is None:
            log.error("a process ended unasked", how=how, replaced_in_s=pause_s)
        return self._killed_as or RestartReason.CRASHED, how


def _limit_s() -> float:
    return settings.ORCH_LEASE_SECONDS + LATE_S
