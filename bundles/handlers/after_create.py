"""What the page of a completed create job shows beyond its result: the bundle as it is now, and its verification."""

from __future__ import annotations

from typing import Any

from bundles.handlers import verify_request
from bundles.models import Bundle
from jobs.batch import active_jobs
from jobs.models import Job


def offers(job: Job) -> dict[str, Any]:
    """`bundle`, None when it is no longer registered, and `verification`: the active job that verifies it, or None."""
    made = (job.result or {}).get("bundle_id")
    bundle = Bundle.objects.filter(bundle_id=made).first() if made else None
    if bundle is None:
        return {"bundle": None, "verification": None}
    key = verify_request.active_key(bundle.bundle_id)
    return {"bundle": bundle, "verification": active_jobs([key]).get(key)}
