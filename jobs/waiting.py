"""Why a queued job has not been claimed yet, in words for the person who waits for it."""

from __future__ import annotations

from datetime import UTC

from django.db.models.functions import Now

from jobs.models import Job, Status, Worker
from jobs.queue import registry
from jobs.worker_registration import live_workers

GIB = 1 << 30


def reason(job: Job) -> str:
    """What `job` waits for; empty when it is not queued, or only for those in front of it.

    The same rules as in the claim, looked at one by one; between this look and the next claim they may change.
    """
    if job.status != Status.QUEUED:
        return ""
    for look in (_later, _no_worker, _hindered, _excluded, _no_place, _no_room):
        if found := look(job):
            return found
    return ""


def _later(job: Job) -> str:
    if Job.objects.filter(job_id=job.job_id, run_after__gt=Now()).exists():
        return f"It is tried again at {job.run_after.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."
    return ""


def _no_worker(_job: Job) -> str:
    if live_workers().exclude(state=Worker.State.STOPPING).exists():
        return ""
    if live_workers().exists():
        return "Every live worker finishes its job and leaves. Nothing is lost; it starts when another one does."
    return "No worker is alive. Nothing is lost; it starts when one is."


def _hindered(job: Job) -> str:
    told = [worker.hindrances.get(job.job_type) for worker in live_workers().exclude(state=Worker.State.STOPPING)]
    if not told or not all(told):
        return ""
    return f"No live worker's host can do it now. Nothing is lost; it starts when one can. {told[0]}"


def _excluded(job: Job) -> str:
    if job.exclusive_key is None:
        return ""
    other = Job.objects.filter(status__in=[Status.PROCESSING], exclusive_key=job.exclusive_key).first()
    return f"Job {other.job_id} has to end first: of its kind, one runs at a time." if other else ""


def _no_place(job: Job) -> str:
    limit = registry.limits().get(job.job_type)
    if limit is None:
        return ""
    running = Job.objects.filter(status__in=[Status.PROCESSING], job_type=job.job_type, slot__isnull=False).count()
    return f"{running} jobs of its type run already; the limit is {limit}." if running >= limit else ""


def _no_room(job: Job) -> str:
    if not job.needs_bytes:
        return ""
    rooms = _rooms(job.job_type)
    if not rooms or any(free is None or job.needs_bytes <= free for free in rooms.values()):
        return ""
    host, most = max(rooms.items(), key=lambda item: item[1] or 0)
    needed, free = job.needs_bytes / GIB, max(0, most or 0) / GIB
    return f"No worker has room on its disk: it is expected to need {needed:.2f} GiB, and {host} has {free:.2f} GiB."


def _rooms(job_type: str) -> dict[str, int | None]:
    """Each live worker's host, and the bytes that jobs of the type may take there; None where it did not say."""
    found: dict[str, int | None] = {}
    for worker in live_workers().exclude(state=Worker.State.STOPPING):
        free = worker.room.get(job_type)
        found[worker.host] = int(free) if isinstance(free, int) else None
    return found
