"""How long a process has stood still while the machine gave it time.

A process that gives no sign of life is not one that hangs: on a busy machine it may only stand in line for a processor.
Its silence therefore counts less the time that it spent waiting there, and less the time in which nobody could look.
A process that was stopped, or whose threads all wait for each other, stands in no line: for it every second counts.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

STANDS_IN_LINE = frozenset("RD")  # runnable, or waiting for the disk
LEAST_TURN_S = 0.0005  # of a thread that has work to do; one that only looks for the interpreter's lock needs less
COUNTS_ANYWAY = 0.1  # of the time in line: at last a process is replaced whatever the machine does


@dataclass(frozen=True)
class ThreadTimes:
    """One thread as the kernel sees it.

    Attributes:
        state: the letter of proc(5).
        ran_s: on a processor, since it began.
        waited_s: in line for one.
        turns: how often it was given one.
    """

    state: str
    ran_s: float
    waited_s: float
    turns: int


class Stall:
    """The silence of one process since its last sign of life.

    Args:
        pid: of the process.
        longest_gap_s: between two calls of `look`, when the caller is not held up itself.
    """

    def __init__(self, pid: int, longest_gap_s: float) -> None:
        self._pid = pid
        self._longest_gap_s = longest_gap_s
        self._sign: float | None = None
        self._excused_s = 0.0
        self._looked_at: float | None = None
        self._threads: dict[int, ThreadTimes] = {}

    def look(self, sign: float, now: float, *, closely: bool) -> None:
        """Look at the process; to be called again and again.

        Args:
            sign: when it last gave a sign of life, or was started, on `time.monotonic`.
            now: on the same clock.
            closely: whether to ask the kernel what its threads do, which costs more than it is worth every time.
        """
        if sign != self._sign:
            self._sign, self._excused_s, self._threads = sign, 0.0, {}
        elif self._looked_at is not None:
            gap_s = now - self._looked_at
            held_up_s = max(0.0, gap_s - self._longest_gap_s)
            self._excused_s += held_up_s
            if closely:
                before, self._threads = self._threads, threads_of(self._pid)
                self._excused_s += excused_s(before, self._threads, gap_s - held_up_s)
        self._looked_at = now

    def seconds(self, now: float) -> float:
        """How long it has stood still."""
        return 0.0 if self._sign is None else now - self._sign - self._excused_s


def excused_s(before: dict[int, ThreadTimes], after: dict[int, ThreadTimes], elapsed_s: float) -> float:
    """Which part of the time between two looks does not count, as a thread was kept waiting for a processor."""
    known = [(before[tid], after[tid]) for tid in before.keys() & after.keys()]
    if not any(_was_kept_waiting(*pair, elapsed_s) for pair in known):
        return 0.0
    ran_s = sum(last.ran_s - first.ran_s for first, last in known)
    return max(0.0, elapsed_s - max(ran_s, COUNTS_ANYWAY * elapsed_s))


def _was_kept_waiting(first: ThreadTimes, last: ThreadTimes, elapsed_s: float) -> bool:
    turns = last.turns - first.turns
    if not turns:
        return first.state in STANDS_IN_LINE and last.state in STANDS_IN_LINE
    waited_s, ran_s = last.waited_s - first.waited_s, last.ran_s - first.ran_s
    return waited_s > elapsed_s / 2 and ran_s / turns > LEAST_TURN_S


def threads_of(pid: int) -> dict[int, ThreadTimes]:
    """The threads of a process by number; empty when it has gone."""
    found: dict[int, ThreadTimes] = {}
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError, ValueError):  # the thread has ended meanwhile
                found[int(task.name)] = _times_of(task)
    return found


def _times_of(task: Path) -> ThreadTimes:
    state = (task / "stat").read_text().rpartition(")")[2].split()[0]
    try:
        ran, waited, turns = (task / "schedstat").read_text().split()
    except FileNotFoundError:  # a kernel that keeps no such account: the state alone tells
        ran = waited = turns = "0"
    return ThreadTimes(state, int(ran) / 1e9, int(waited) / 1e9, int(turns))
