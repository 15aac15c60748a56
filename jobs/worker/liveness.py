"""Signs of life of a supervisor's processes: a page of shared memory in which each writes the time now and then.

Only the kernel's clock and memory are needed, so a database that is away makes nobody look dead; a process that was
stopped, or that hangs inside a C library and lets none of its threads run, falls silent. Beside the liveness stands
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
    """How long a process waits between two liveness: a sixth of a lease, 5 seconds at most."""
    return min(LONGEST_EVERY_S, settings.ORCH_LEASE_SECONDS / 6)


class Liveness:
    """One place in memory for each slot, shared with every process that is forked from this one.

    Args:
        slots: how many.
    """

    def __init__(self, slots: int) -> None:
        self._memory = mmap.mmap(-1, (slots + 1) * _TIME.size)
        self._notices_at = slots * _TIME.size

    def forget(self, slot: int) -> None:
        """Begin anew: somebody else takes the slot."""
        _TIME.pack_into(self._memory, slot * _TIME.size, 0.0)

    def give(self, slot: int) -> None:
        """Write that the process on this slot lives."""
        _TIME.pack_into(self._memory, slot * _TIME.size, time.monotonic())

    def last(self, slot: int) -> float | None:
        """When the process on this slot last gave a sign, on `time.monotonic`; `None` before its first."""
        at: float = _TIME.unpack_from(self._memory, slot * _TIME.size)[0]
        return at or None

    @property
    def notices_arrive(self) -> bool:
        """Whether whoever listens for new work does so now."""
        return bool(_TIME.unpack_from(self._memory, self._notices_at)[0])

    @notices_arrive.setter
    def notices_arrive(self, arrive: bool) -> None:
        _TIME.pack_into(self._memory, self._notices_at, float(arrive))


class LivenessThread(threading.Thread):
    """Gives a sign for one slot again and again, until the process ends."""

    def __init__(self, liveness: Liveness, slot: int) -> None:
        super().__init__(name="breath", daemon=True)
        self._liveness = liveness
        self._seat = slot

    def run(self) -> None:
        """Give liveness."""
        while True:
            self._liveness.give(self._seat)
            time.sleep(every_s())
