"""Who takes the next job, and which ones it can take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from jobs import registry


@dataclass(frozen=True)
class Claimant:
    """A worker that wants a job.

    Attributes:
        worker_id: who will hold the lease; never empty.
        job_types: the types that it can do.
        room: bytes that jobs of a type may take on its host's disk; no bound for types that it does not name.
        limits: how many jobs of a type may run at once, on all hosts; no bound for types that it does not name.
    """

    worker_id: str
    job_types: Sequence[str]
    room: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """The parameters of the statements that claim."""
        return {
            "worker": self.worker_id,
            "types": list(self.job_types),
            "room": json.dumps(dict(self.room)),
            "limits": json.dumps(dict(self.limits)),
            "lease_s": settings.ORCH_LEASE_SECONDS,
        }


def of_this_host(worker_id: str) -> Claimant:
    """A worker of this process: every type that is known here, by the room that the host has now."""
    return Claimant(worker_id, [one.name for one in registry.all()], registry.room(), registry.limits())
