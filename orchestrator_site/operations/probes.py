"""Probes the parts of a deployment in parallel; each is well, slow or down.

*Slow*: the answer took `SLOW_FROM_S` or more, or is still pending when `ask` must return. *Down*: the part refused, or
did not answer for `DOWN_AFTER_S`. A busy machine is slow, not down. `ask` itself never hangs, and a part that hangs is
not probed again meanwhile: its pending answer counts for the next `ask`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from foundation import in_background

log = logging.getLogger(__name__)

DEADLINE_S = 5
SLOW_FROM_S = 2
DOWN_AFTER_S = 30  # as long as a worker's lease: jobs are lost only after that

Part = dict[str, Any]


@dataclass(frozen=True)
class _Asked:
    """A running probe and its start time (`time.monotonic`)."""

    at: float
    answer: Future[Part]


class Probes:
    """Probes all parts in parallel, each in its own thread.

    Args:
        parts: name → a function that returns `ok`, `detail` and more values to show.
        informational: names of parts on which nothing depends.
    """

    def __init__(self, parts: Mapping[str, Callable[[], Part]], informational: frozenset[str]) -> None:
        self.parts = parts
        self.informational = informational
        self._asked: dict[str, _Asked] = {}
        self._last: dict[str, Part] = {}
        self._lock = Lock()

    def ask(self) -> dict[str, Part]:
        """Each part's state, in `DEADLINE_S` at the latest."""
        with self._lock:
            for name, probe in self.parts.items():
                if name not in self._asked or self._asked[name].answer.done():
                    self._asked[name] = _Asked(time.monotonic(), in_background.ask(partial(self._look, name, probe)))
            asked = dict(self._asked)
        wait([one.answer for one in asked.values()], timeout=DEADLINE_S)
        return {name: self._state(name, one) for name, one in asked.items()}

    def _look(self, name: str, probe: Callable[[], Part]) -> Part:
        began = time.monotonic()
        try:
            part = probe()
        except Exception:
            log.exception("the probe of %s failed", name)
            part = {"ok": False, "detail": "unknown: the probe failed; the log has the reason"}
        took_s = time.monotonic() - began
        if part["ok"] and took_s >= SLOW_FROM_S:
            part = {**part, "detail": f"slow: answered after {took_s:.1f} s; {part['detail']}"}
        self._last[name] = part
        return part

    def _state(self, name: str, asked: _Asked) -> Part:
        part = asked.answer.result() if asked.answer.done() else self._awaited(name, time.monotonic() - asked.at)
        return {**part, "informational": True} if name in self.informational else part

    def _awaited(self, name: str, for_s: float) -> Part:
        """The state of a part whose answer is pending: its last state, until it counts as down."""
        if for_s >= DOWN_AFTER_S:
            return {"ok": False, "detail": f"down: no answer in {for_s:.0f} s"}
        last = self._last.get(name)
        if last is not None and not last["ok"]:
            return {**last, "detail": f"{last['detail']}; no answer since, in {for_s:.0f} s"}
        return {**(last or {}), "ok": last is not None, "detail": f"slow: no answer in {for_s:.0f} s so far"}
