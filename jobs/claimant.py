"""Who takes the next job, and which ones it can take."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.conf import settings

from jobs import registry

ROOM_HOLDS_S = 0.5


@dataclass(frozen=True)
class Claimant:
    """A worker that wants a job.

    Attributes:
        worker_id: who will hold the lease; never empty.
        job_types: the types that it can do.
        room: tells how many bytes jobs of a type may take on its host's disk; no bound for types that it does not name.
        limits: how many jobs of a type may run at once, on all hosts; no bound for types that it does not name.
    """

    worker_id: str
    job_types: tuple[str, ...]
    room: Callable[[], Mapping[str, int]] = dict
    limits: Mapping[str, int] = field(default_factory=dict)

    def now(self) -> dict[str, Any]:
        """The parameter of the statements that claim which changes from claim to claim."""
        return {"room": json.dumps(dict(self.room()))}

    @cached_property
    def always(self) -> tuple[tuple[str, Any], ...]:
        """Those that do not."""
        return (
            ("worker", self.worker_id),
            ("types", self.job_types),
            ("limits", json.dumps(dict(self.limits))),
            ("lease_s", settings.ORCH_LEASE_SECONDS),
        )


def of_this_host(worker_id: str) -> Claimant:
    """A worker of this process: every type that is known here, by the room that the host has now."""
    return Claimant(worker_id, tuple(one.name for one in registry.all()), _lately(registry.room), registry.limits())


def _lately(room: Callable[[], Mapping[str, int]]) -> Callable[[], Mapping[str, int]]:
    """`room`, asked anew when its answer is older than half a second: asking the disk takes as long as a short job."""
    told: Mapping[str, int] = {}
    asked_at = -math.inf

    def answer() -> Mapping[str, int]:
        nonlocal told, asked_at
        if time.monotonic() - asked_at > ROOM_HOLDS_S:
            told, asked_at = room(), time.monotonic()
        return told

    return answer
