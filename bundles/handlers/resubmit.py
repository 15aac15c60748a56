"""The same bundle or verification asked for once more, with the parameters of an earlier job: what copying means."""

from __future__ import annotations

from bundles import services
from foundation.principal import Principal
from jobs.models import Job
from jobs.queue.job_result import Enqueued


def bundle_again(principal: Principal, job: Job) -> Enqueued:
    """Ask for the bundle of an earlier job; see `services.request_bundle`."""
    told = job.payload
    return services.request_bundle(
        principal,
        incident_id=told["incident_id"],
        priority=job.priority,
        chunk_size_mb=told.get("chunk_size_mb", 256),
        allow_partial=told.get("allow_partial", False),
        source=told.get("source", "live"),
        compression=told.get("compression", "zstd"),
    )


def verification_again(principal: Principal, job: Job) -> Enqueued:
    """Ask for the verification of an earlier job; see `services.request_verification`."""
    return services.request_verification(principal, job.payload["bundle_id"])
