"""Which jobs a worker may claim now: of which types, with how much disk space, within which limits."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.conf import settings

from jobs.queue import registry

ANSWER_KEPT_S = 0.5
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ClaimRequest:
    """A worker's request for a job.

    Attributes:
        worker_id: the worker that will hold the lease; never empty.
        job_types: the types that it knows.
        disk_space: returns how many bytes jobs of a type may take on its host's disk; no bound for other types.
        limits: how many jobs of a type may run at once, on all hosts; no bound for other types.
        hindered: returns the types that its host cannot do now.
    """

    worker_id: str
    job_types: tuple[str, ...]
    disk_space: Callable[[], Mapping[str, int]] = dict
    limits: Mapping[str, int] = field(default_factory=dict)
    hindered: Callable[[], Container[str]] = tuple

    def parameters(self) -> dict[str, Any]:
        """The parameters of the claiming statement, as of now."""
        hindered = self.hindered()
        return {
            "worker": self.worker_id,
            "types": [name for name in self.job_types if name not in hindered],
            "limits": json.dumps(dict(self.limits)),
            "lease_s": settings.ORCH_LEASE_SECONDS,
            "room": json.dumps(dict(self.disk_space())),
        }


def of_this_host(worker_id: str) -> ClaimRequest:
    """The request of a worker on this host: all registered types, free disk space and hindrances."""
    return ClaimRequest(
        worker_id,
        tuple(job_type.name for job_type in registry.all()),
        _cached(registry.disk_space),
        registry.limits(),
        _cached(registry.hindrances),
    )


def _cached(ask: Callable[[], Answer]) -> Callable[[], Answer]:
    """`ask`, whose answer is kept for half a second: statvfs takes as long as a short job."""
    known: list[Answer] = []
    asked_at = -math.inf

    def answer() -> Answer:
        nonlocal asked_at
        if time.monotonic() - asked_at > ANSWER_KEPT_S:
            known[:] = [ask()]
            asked_at = time.monotonic()
        return known[0]

    return answer
