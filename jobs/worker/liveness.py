"""Signs of life of a supervisor's processes: a page of shared memory in which each writes the time now and then.

Only the kernel's clock and memory are needed, so a database that is away makes nobody look dead; a process that was
stopped, or that hangs inside a C library and lets none of its threads run, falls silent. Beside the signs stands
whether notices of new work arrive on this host, as idle workers look for work by themselves when they do not.
"""

from __future__ import annotations

import mmap
import struct
import threading
import time

from django.conf import settings

LONGEST_EVERY_S = 5.0
_TIME = struct.Struct("d")  # CLOCK_MONOTONIC, which is one for all processes of a host


def every_s() -> float:
    """How long a process waits between two signs: a sixth of a lease, 5 seconds at most."""
    return min(LONGEST_EVERY_S, settings.ORCH_LEASE_SECONDS / 6)


class LifeSigns:
    """One place in memory for each seat, shared with every process that is forked from this one.

    Args:
        seats: how many.
    """

    def __init__(self, seats: int) -> None:
        self._memory = mmap.mmap(-1, (seats + 1) * _TIME.size)
        self._notices_at = seats * _TIME.size

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

    @property
    def notices_arrive(self) -> bool:
        """Whether whoever listens for new work does so now."""
        return bool(_TIME.unpack_from(self._memory, self._notices_at)[0])

    @notices_arrive.setter
    def notices_arrive(self, arrive: bool) -> None:
        _TIME.pack_into(self._memory, self._notices_at, float(arrive))


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
            time.sleep(every_s())
