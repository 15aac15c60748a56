"""Who takes the next job, and which ones it can take."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.conf import settings

from foundation.prepared_statements import Fixed
from jobs.queue import registry

ANSWER_HOLDS_S = 0.5
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ClaimRequest:
    """A worker that wants a job.

    Attributes:
        worker_id: who will hold the lease; never empty.
        job_types: the types that it can do.
        room: tells how many bytes jobs of a type may take on its host's disk; no bound for types that it does not name.
        limits: how many jobs of a type may run at once, on all hosts; no bound for types that it does not name.
        hindered: tells which of the types its host cannot do now.
    """

    worker_id: str
    job_types: tuple[str, ...]
    room: Callable[[], Mapping[str, int]] = dict
    limits: Mapping[str, int] = field(default_factory=dict)
    hindered: Callable[[], Container[str]] = tuple
    _fixed: dict[tuple[str, ...], Fixed] = field(default_factory=dict, init=False, repr=False, compare=False)

    def now(self) -> dict[str, Any]:
        """The parameter of the statements that claim which changes from claim to claim."""
        return {"room": json.dumps(dict(self.room()))}

    @property
    def always(self) -> Fixed:
        """Those that hardly ever do: made once for the types that can be done now."""
        hindered = self.hindered()
        types = tuple(name for name in self.job_types if name not in hindered)
        if types not in self._fixed:
            self._fixed[types] = (
                ("worker", self.worker_id),
                ("types", types),
                ("limits", json.dumps(dict(self.limits))),
                ("lease_s", settings.ORCH_LEASE_SECONDS),
            )
        return self._fixed[types]


def of_this_host(worker_id: str) -> ClaimRequest:
    """A worker of this process: every type that this host can do, by the room that it has now."""
    return ClaimRequest(
        worker_id,
        tuple(one.name for one in registry.all()),
        _lately(registry.room),
        registry.limits(),
        _lately(registry.hindrances),
    )


def _lately(ask: Callable[[], Answer]) -> Callable[[], Answer]:
    """`ask`, anew when its answer is older than half a second: asking the disk takes as long as a short job."""
    told: list[Answer] = []
    asked_at = -math.inf

    def answer() -> Answer:
        nonlocal asked_at
        if time.monotonic() - asked_at > ANSWER_HOLDS_S:
            told[:] = [ask()]
            asked_at = time.monotonic()
        return told[0]

    return answer
