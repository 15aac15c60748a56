"""Signs of life of a supervisor's processes: shared memory in which each writes the time every few seconds.

It needs only memory and the kernel's clock, so no process looks dead because the database is away. A process that was
stopped, or that hangs inside a C library and lets none of its threads run, gives no sign. The memory also holds whether
notices of new work arrive on this host: idle workers poll more often while they do not.
"""

from __future__ import annotations

import mmap
import struct
import threading
import time

from django.conf import settings

LONGEST_INTERVAL_S = 5.0
_TIME = struct.Struct("d")  # CLOCK_MONOTONIC, the same for all processes of a host


def interval_s() -> float:
    """Seconds between two signs of life of a process: a sixth of a lease, at most 5."""
    return min(LONGEST_INTERVAL_S, settings.ORCH_LEASE_SECONDS / 6)


class Liveness:
    """The last sign of life on each worker slot, shared with every process that is forked from this one.

    Args:
        slots: how many slots, the upkeep's included.
    """

    def __init__(self, slots: int) -> None:
        self._memory = mmap.mmap(-1, (slots + 1) * _TIME.size)
        self._notices_at = slots * _TIME.size

    def reset(self, slot: int) -> None:
        """Remove the last sign: a new process starts on the slot."""
        _TIME.pack_into(self._memory, slot * _TIME.size, 0.0)

    def give_sign(self, slot: int) -> None:
        """Record that the process on this slot is alive now."""
        _TIME.pack_into(self._memory, slot * _TIME.size, time.monotonic())

    def last_sign(self, slot: int) -> float | None:
        """When the process on this slot last gave a sign, by `time.monotonic`; `None` before its first."""
        at: float = _TIME.unpack_from(self._memory, slot * _TIME.size)[0]
        return at or None

    @property
    def notices_arrive(self) -> bool:
        """Whether the listener of this host receives notices of new work."""
        return bool(_TIME.unpack_from(self._memory, self._notices_at)[0])

    @notices_arrive.setter
    def notices_arrive(self, arrive: bool) -> None:
        _TIME.pack_into(self._memory, self._notices_at, float(arrive))


class LivenessThread(threading.Thread):
    """Gives a sign of life for one slot every `interval_s()` seconds, until the process ends."""

    def __init__(self, liveness: Liveness, slot: int) -> None:
        super().__init__(name="liveness", daemon=True)
        self._liveness = liveness
        self._slot = slot

    def run(self) -> None:
        """Give signs of life."""
        while True:
            self._liveness.give_sign(self._slot)
            time.sleep(interval_s())
