"""Signs of life of worker processes: a page of shared memory in which each writes the time, once a second.

Only the kernel's clock and memory are needed, so a database that is away makes nobody look dead; a process that was
stopped, or that hangs inside a C library and lets none of its threads run, falls silent.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time

EVERY_S = 1.0
_TIME = struct.Struct("d")  # CLOCK_MONOTONIC, which is one for all processes of a host


class LifeSigns:
    """One place in shared memory for each seat.

    Args:
        seats: how many.
        fileno: the memory that another process made; `None` to make it.
    """

    def __init__(self, seats: int, fileno: int | None = None) -> None:
        self.fileno = os.memfd_create("orchestrator-life-signs", os.MFD_CLOEXEC) if fileno is None else fileno
        if fileno is None:
            os.ftruncate(self.fileno, seats * _TIME.size)
        self._memory = mmap.mmap(self.fileno, seats * _TIME.size)

    def forget(self, seat: int) -> None:
        """Begin anew: somebody else takes the seat."""
        _TIME.pack_into(self._memory, seat * _TIME.size, 0.0)

    def give(self, seat: int) -> None:
        """Write that the process on this seat lives."""
        _TIME.pack_into(self._memory, seat * _TIME.size, time.monotonic())

    def last(self, seat: int) -> float | None:
        """When the process on this seat last gave a sign, on `time.monotonic`; `None` before its first."""
        at: float = _TIME.unpack_from(self._memory, seat * _TIME.size)[0]
        return at or None


class Breath(threading.Thread):
    """Gives a sign for one seat again and again, until the process ends."""

    def __init__(self, signs: LifeSigns, seat: int) -> None:
        super().__init__(name="breath", daemon=True)
        self._signs = signs
        self._seat = seat

    def run(self) -> None:
        """Give signs."""
        while True:
            self._signs.give(self._seat)
            time.sleep(EVERY_S)
