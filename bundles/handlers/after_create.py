"""What pages show of a completed create job: its result in words, the bundle as it is now, and its verification."""

from __future__ import annotations

from typing import Any

from bundles.handlers import verify_request
from bundles.models import Bundle
from jobs.batch import active_jobs
from jobs.models import Job
from jobs.queue import registry


def summary(job: Job) -> registry.Summary:
    """What kind of bundle was made, and of how many files."""
    result = job.result or {}
    files = int(result.get("files") or 0)
    words = f"bundle of {files:,} file{'' if files == 1 else 's'}"
    if result.get("complete", True):
        return registry.Summary(kind="ok", words=words.capitalize())
    return registry.Summary(kind="partial", words=f"Partial {words}")


def offers(job: Job) -> dict[str, Any]:
    """`bundle`, None when it is no longer registered, and `verification`: the active job that verifies it, or None."""
    made = (job.result or {}).get("bundle_id")
    bundle = Bundle.objects.filter(bundle_id=made).first() if made else None
    if bundle is None:
        return {"bundle": None, "verification": None}
    key = verify_request.active_key(bundle.bundle_id)
    return {"bundle": bundle, "verification": active_jobs([key]).get(key)}
