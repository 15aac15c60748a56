"""Queues the verification of a bundle: one statement for the job, one for custody.

They are separate so that a transaction which also records other events can queue the job before its first event. An
append to custody keeps other appends waiting until COMMIT, so it comes after everything that may wait itself.
"""

from __future__ import annotations

from bundles.handlers.verify import JOB_TYPE
from bundles.models import Bundle
from custody import chain
from foundation.principal import Principal
from jobs.queue import queue
from jobs.queue.job_result import Enqueued


def active_key(bundle_id: object) -> str:
    """The key that at most one queued or running verification of a bundle has."""
    return f"{JOB_TYPE} {bundle_id}"


def enqueue(principal: Principal, bundle: Bundle, *, idempotency_key: str = "") -> Enqueued:
    """Queue the verification of `bundle`, or return the one that is active. The caller has checked the permission."""
    payload = {"bundle_id": str(bundle.bundle_id)}
    return queue.enqueue(
        JOB_TYPE,
        payload,
        principal=principal,
        operation="bundle.verify",
        incident_id=bundle.incident_id,
        idempotency_key=idempotency_key,
        request_body=payload,
        active_key=active_key(bundle.bundle_id),
    )


def record(principal: Principal, bundle: Bundle, enqueued: Enqueued, **details: str) -> None:
    """Record in custody that the verification was requested, if `enqueued` is new; `details` say why."""
    if not enqueued.created:
        return
    chain.record(
        principal,
        "bundle.verify",
        "bundle",
        str(bundle.bundle_id),
        incident_id=bundle.incident_id,
        digest=bundle.sha256,
        outcome="requested",
        details={"job_id": str(enqueued.job.job_id), **details},
    )
