"""The place of one worker process: who sits in it, whether they live, and when the next one may sit down."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from jobs import recycling
from jobs.joblog import log
from jobs.life_signs import LifeSigns

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_AFTER_S = 60.0
SILENT_AFTER_S = 60.0


@dataclass
class Seat:
    """One place.

    Attributes:
        number: from 0.
        signs: where its process gives its signs of life.
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
    signs: LifeSigns
    drain: bool
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    free_at: float = 0.0
    crashes: int = 0
    crashed: int = 0
    recycled: int = 0
    drained: bool = False
    done: bool = False

    def look_after(self, start: Callable[[int], subprocess.Popen[bytes]]) -> None:
        """Take note of a process that has ended, kill one that is silent, and fill the seat once it may be filled."""
        now = time.monotonic()
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                self._kill_if_silent()
                return
            self.process = None
            self._note_end(code, now)
        if not self.done and not self.drained and now >= self.free_at:
            self.signs.forget(self.number)
            self.process, self.since = start(self.number), now

    def fill(self) -> None:
        """Let somebody sit here again."""
        self.drained = False

    @property
    def lives(self) -> bool:
        """Whether somebody sits here who has given a sign of life and is not silent."""
        return self.process is not None and self.signs.last(self.number) is not None and not self.silent

    @property
    def silent(self) -> bool:
        """Whether its process has been silent for so long that it must hang."""
        if self.process is None:
            return False
        last = self.signs.last(self.number) or self.since
        return time.monotonic() - last > max(SILENT_AFTER_S, 3 * settings.ORCH_LEASE_SECONDS)

    def _kill_if_silent(self) -> None:
        """End a process that hangs: its lease is long over, and while it sits here nobody else can work."""
        if self.silent and self.process is not None:
            log.error("a worker process gives no sign of life and is killed", pid=self.process.pid)
            self.process.kill()

    def _note_end(self, code: int, now: float) -> None:
        if code == recycling.EXIT_CODE:
            self.recycled += 1
            self.crashes, self.free_at = 0, now
            return
        if code == recycling.DRAINED_EXIT_CODE and not self.drain:
            self.drained, self.crashes, self.free_at = True, 0, now
            log.info("a worker process has left as it was asked; its place stays empty until SIGHUP or a restart")
            return
        if self.drain:
            self.done, self.crashes = True, int(code not in {0, recycling.DRAINED_EXIT_CODE})
            return
        self.crashed += 1
        self.crashes = 1 if now - self.since > HEALTHY_AFTER_S else self.crashes + 1
        pause_s = min(FIRST_PAUSE_S * 2 ** (self.crashes - 1), LONGEST_PAUSE_S)
        self.free_at = now + pause_s
        log.error("a worker process ended unasked", code=code, replaced_in_s=pause_s)
