"""Repeats a restore as a preview of its bundle: a user confirms each restore."""

from __future__ import annotations

from foundation.principal import Principal
from jobs.models import Job
from jobs.queue.job_result import Enqueued
from rehydration import services


def preview_again(principal: Principal, job: Job) -> Enqueued:
    """Ask for a preview of the bundle of an earlier preview or restore; see `services.request_restore`."""
    requested = services.request_restore(
        principal,
        bundle_path=job.payload["bundle_path"],
        verify_signature=job.payload.get("verify_signature", True),
        dry_run=True,
        priority=job.priority,
    )
    return Enqueued(requested.job, requested.created)
