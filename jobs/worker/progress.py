"""How far an attempt is: never backwards, with a rate, ready to be stored.

The tracker belongs to the handler's thread; the thread that stores may call `take`.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

RATE_SAMPLES = 20
RATE_SPACING_S = 0.5


class ProgressTracker:
    """The progress of one attempt."""

    def __init__(self, phases: tuple[str, ...]) -> None:
        self._phases = phases
        self._current: dict[str, Any] = {}
        self._began = time.monotonic()
        self._phases_s: dict[str, float] = {}
        self._pending = False
        self._samples: deque[tuple[float, int]] = deque(maxlen=RATE_SAMPLES)

    def update(self, phase: str, done: int, total: int | None, unit: str, note: str) -> None:
        """Record progress; an earlier phase, or less done in the same one, changes nothing.

        Raises:
            ValueError: the job type has no such phase.
        """
        if phase not in self._phases:
            raise ValueError(f"{phase!r} is no phase of this job type; it has {', '.join(self._phases)}")
        before = self._current
        if before and self._phases.index(phase) < self._phases.index(before["phase"]):
            return
        if before.get("phase") == phase:
            done = max(done, before["done"])
            total = before["total"] if total is None else total
        else:
            self._samples.clear()
            self._phases_s = {**self._phases_s, phase: round(time.monotonic() - self._began, 2)}
        self._current = {
            "phase": phase,
            "done": done,
            "total": None if total is None else max(total, done),
            "unit": unit,
            "rate": self._rate(done),
            "share": self._share(phase, done, total),
            "note": note,
            "phases_s": self._phases_s,
        }
        self._pending = True

    @property
    def pending(self) -> bool:
        """Whether there is progress that `take` has not returned."""
        return self._pending

    def take(self) -> dict[str, Any]:
        """The progress to store now."""
        self._pending = False
        return self._current

    def _share(self, phase: str, done: int, total: int | None) -> float:
        """The share of the phase that is done, from 0 to 1; it stays where it is while a total grows."""
        before = self._current.get("share", 0.0) if self._current.get("phase") == phase else 0.0
        return max(float(before), round(min(1.0, done / total), 4) if total else 0.0)

    def _rate(self, done: int) -> float | None:
        """Units a second over about the last ten seconds; None until two samples lie half a second apart."""
        now = time.monotonic()
        if not self._samples or now - self._samples[-1][0] >= RATE_SPACING_S:
            self._samples.append((now, done))
        since, done_then = self._samples[0]
        return round((done - done_then) / (now - since), 1) if now - since >= RATE_SPACING_S else None
