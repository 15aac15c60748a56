"""How long a process has been silent although the machine gave it processor time.

A process without a sign of life need not hang: on a busy machine it may only wait for a processor. The time that it
waits there does not count, nor the time in which the supervisor itself could not check. A process that was stopped, or
whose threads all wait for each other, does not wait for a processor: for it every second counts.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

WAITING_STATES = frozenset("RD")  # runnable, or waiting for the disk
LEAST_TURN_S = 0.0005  # of a thread that has work to do; one that only tries to take the interpreter's lock needs less
LEAST_COUNTED = 0.1  # share of the waiting time that counts, so that a process is replaced in the end


@dataclass(frozen=True)
class ThreadTimes:
    """One thread as the kernel sees it.

    Attributes:
        state: the letter of proc(5).
        ran_s: time on a processor, since it began.
        waited_s: time waiting for one.
        turns: how often it got one.
    """

    state: str
    ran_s: float
    waited_s: float
    turns: int


class Stall:
    """The silence of one process since its last sign of life.

    Args:
        pid: of the process.
        longest_gap_s: the longest time between two calls of `observe`, unless the caller itself is delayed.
    """

    def __init__(self, pid: int, longest_gap_s: float) -> None:
        self._pid = pid
        self._longest_gap_s = longest_gap_s
        self._sign: float | None = None
        self._excused_s = 0.0
        self._observed_at: float | None = None
        self._threads: dict[int, ThreadTimes] = {}

    def observe(self, sign: float, now: float, *, closely: bool) -> None:
        """Record the state of the process; to be called every few seconds.

        Args:
            sign: when it last gave a sign of life, or was started, by `time.monotonic`.
            now: by the same clock.
            closely: whether to read its threads' times from the kernel, which costs too much to do every time.
        """
        if sign != self._sign:
            self._sign, self._excused_s, self._threads = sign, 0.0, {}
        elif self._observed_at is not None:
            gap_s = now - self._observed_at
            delayed_s = max(0.0, gap_s - self._longest_gap_s)
            self._excused_s += delayed_s
            if closely:
                before, self._threads = self._threads, threads_of(self._pid)
                self._excused_s += excused_s(before, self._threads, gap_s - delayed_s)
        self._observed_at = now

    def seconds(self, now: float) -> float:
        """How many seconds of silence count."""
        return 0.0 if self._sign is None else now - self._sign - self._excused_s


def excused_s(before: dict[int, ThreadTimes], after: dict[int, ThreadTimes], elapsed_s: float) -> float:
    """Which part of the time between two observations does not count, as a thread waited for a processor."""
    known = [(before[tid], after[tid]) for tid in before.keys() & after.keys()]
    if not any(_waited(*pair, elapsed_s) for pair in known):
        return 0.0
    ran_s = sum(last.ran_s - first.ran_s for first, last in known)
    return max(0.0, elapsed_s - max(ran_s, LEAST_COUNTED * elapsed_s))


def _waited(first: ThreadTimes, last: ThreadTimes, elapsed_s: float) -> bool:
    turns = last.turns - first.turns
    if not turns:
        return first.state in WAITING_STATES and last.state in WAITING_STATES
    waited_s, ran_s = last.waited_s - first.waited_s, last.ran_s - first.ran_s
    return waited_s > elapsed_s / 2 and ran_s / turns > LEAST_TURN_S


def threads_of(pid: int) -> dict[int, ThreadTimes]:
    """The threads of a process by their id; empty when it has ended."""
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
    except FileNotFoundError:  # a kernel without scheduler statistics: only the state is known
        ran = waited = turns = "0"
    return ThreadTimes(state, int(ran) / 1e9, int(waited) / 1e9, int(turns))
