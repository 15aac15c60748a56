"""Why a queued job has not been claimed yet, as a sentence for a person."""

from __future__ import annotations

from datetime import UTC

from django.db.models.functions import Now

from jobs.models import Job, Status, Worker
from jobs.queue import registry
from jobs.worker_registration import live_workers

GIB = 1 << 30


def reason(job: Job) -> str:
    """What `job` waits for; empty when it is not queued, or waits only for the jobs in front of it.

    The rules are those of the claim, checked one by one. The answer may be out of date by the next claim.
    """
    if job.status != Status.QUEUED:
        return ""
    for check in (_not_due, _no_worker, _hindered, _excluded, _limit_reached, _no_disk_space):
        if found := check(job):
            return found
    return ""


def _not_due(job: Job) -> str:
    if job.waits_for:
        title = dependency_title(job)
        return f"It waits until {title} answer. They are checked every 5 minutes."
    if Job.objects.filter(job_id=job.job_id, run_after__gt=Now()).exists():
        return f"It is tried again at {job.run_after.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."
    return ""


def dependency_title(job: Job) -> str:
    """What the job waits for, in words; its stored name when this process does not know the type."""
    known = {job_type.name: job_type.dependency for job_type in registry.all()}
    dependency = known.get(job.job_type)
    return dependency.title if dependency else job.waits_for


def _no_worker(_job: Job) -> str:
    if live_workers().exclude(state=Worker.State.STOPPING).exists():
        return ""
    if live_workers().exists():
        return "Every live worker finishes its job and leaves. Nothing is lost; it starts when another one does."
    return "No worker is alive. Nothing is lost; it starts when one is."


def _hindered(job: Job) -> str:
    reasons = [worker.hindrances.get(job.job_type) for worker in live_workers().exclude(state=Worker.State.STOPPING)]
    if not reasons or not all(reasons):
        return ""
    return f"No live worker's host can do it now. Nothing is lost; it starts when one can. {reasons[0]}"


def _excluded(job: Job) -> str:
    if job.exclusive_key is None:
        return ""
    other = Job.objects.filter(status__in=[Status.PROCESSING], exclusive_key=job.exclusive_key).first()
    return f"Job {other.job_id} has to end first: of its kind, one runs at a time." if other else ""


def _limit_reached(job: Job) -> str:
    limit = registry.limits().get(job.job_type)
    if limit is None:
        return ""
    running = Job.objects.filter(status__in=[Status.PROCESSING], job_type=job.job_type, slot__isnull=False).count()
    return f"{running} jobs of its type run already; the limit is {limit}." if running >= limit else ""


def _no_disk_space(job: Job) -> str:
    if not job.needs_bytes:
        return ""
    free_bytes = _free_bytes(job.job_type)
    if not free_bytes or any(free is None or job.needs_bytes <= free for free in free_bytes.values()):
        return ""
    host, most = max(free_bytes.items(), key=lambda item: item[1] or 0)
    needed, free = job.needs_bytes / GIB, max(0, most or 0) / GIB
    return f"No worker has room on its disk: it is expected to need {needed:.2f} GiB, and {host} has {free:.2f} GiB."


def _free_bytes(job_type: str) -> dict[str, int | None]:
    """The bytes that jobs of the type may take, by the host of each live worker; None where they are unknown."""
    found: dict[str, int | None] = {}
    for worker in live_workers().exclude(state=Worker.State.STOPPING):
        free = worker.room.get(job_type)
        found[worker.host] = int(free) if isinstance(free, int) else None
    return found
