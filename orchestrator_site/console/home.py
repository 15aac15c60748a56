"""Home: what needs attention, running jobs, the newest bundles, and the state of queue and disk."""

from __future__ import annotations

import shutil
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from bundles import services
from bundles.keys import signing_keys
from bundles.models import Bundle
from bundles.sources import dependency_status
from bundles.storage import store_identity
from foundation.principal import of_request
from jobs import worker_restarts
from jobs.console import attention, progress_view
from jobs.console.pages import is_stuck
from jobs.models import Job, Worker
from jobs.queue import queue_depth
from jobs.worker_registration import live_workers
from orchestrator_site.console import needs_attention, visits

SHOWN = 5
LOW_DISK_SHARE = 0.05
HELD_SQL = f"""
SELECT COALESCE(sum(size), 0), COALESCE(max(size), 0), {store_identity.KNOWN_AS_JSON}
FROM orchestrator_bundles WHERE state = 'ready'"""  # noqa: S608 # put together from constants


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The home page, or only its live part for a request by htmx."""
    principal = of_request(request)
    is_live_part = bool(request.headers.get("HX-Request"))
    days_left = signing_keys.days_until_retirement()
    disk = storage()
    context: dict[str, Any] = {
        "here": "home",
        "storage": disk,
        "key_days_left": days_left,
        "key_days_late": -(days_left or 0),
    }
    if principal.may("jobs.view_job"):
        user_id = int(request.user.pk or 0)  # every page requires a signed-in user
        since = visits.last_visit(user_id) if is_live_part else visits.begin(user_id)
        workers = list(live_workers())
        context |= _queue(since, workers) | {"sources_down": dependency_status.failing()}
        context["wrong_stores"] = needs_attention.wrong_stores(workers, disk["stores"], readable=disk["known"])
    if principal.may("bundles.view_bundle"):
        bad = Bundle.objects.filter(services.VERDICTS["failed"]).order_by("-verified_at")[:SHOWN]
        last = Bundle.objects.filter(state="ready").order_by("-created_at")[:SHOWN]
        found = list(bad.union(last, all=True))  # one query for both
        unsafe = {bundle.pk: bundle for bundle in found if bundle.verified_ok is False or bundle.state == "lost"}
        ready = {bundle.pk: bundle for bundle in found if bundle.state == "ready"}
        context["bad_bundles"] = list(unsafe.values())[:SHOWN]
        context["last_bundles"] = sorted(ready.values(), key=lambda bundle: bundle.created_at, reverse=True)[:SHOWN]
    return render(request, "home_live.html" if is_live_part else "home.html", context)


def storage() -> dict[str, Any]:
    """Disk usage of the bundle store in bytes: total, free, bundles, other files, and whether free space is low.

    Also the stores registered in the database, read by the same query.
    """
    with connection.cursor() as cursor:
        cursor.execute(HELD_SQL)
        total, largest, rows = cursor.fetchone()
    bundles, known = int(total), store_identity.known_of(rows or [])
    try:
        disk = shutil.disk_usage(settings.OUTPUT_DIR)
    except OSError:
        return {"known": False, "bundles": bundles, "stores": known}
    other = max(0, disk.used - bundles)
    return {
        "known": True,
        "stores": known,
        "total": disk.total,
        "free": disk.free,
        "bundles": bundles,
        "largest": largest,
        "low": disk.free < max(2 * largest, disk.total * LOW_DISK_SHARE),
        "words": f"Bundle store: {disk.used / disk.total:.0%} of the disk is in use.",
        "parts": [("Bundles", bundles), ("Other files", other), ("Free", disk.free)],
    }


def _queue(since: datetime | None, workers: list[Worker]) -> dict[str, Any]:
    now = timezone.now()
    numbers = queue_depth.now_and_over_a_day()
    queued, running = numbers.queued, numbers.processing
    # One query for stuck, running and failed jobs; ordered by lease, so that stuck jobs come first.
    leased = Job.objects.filter(status="processing").order_by("lease_expires_at")[: attention.COUNTED_UP_TO]
    found = list(leased.union(attention.failed()[: attention.COUNTED_UP_TO], all=True))
    stuck = [job for job in found if is_stuck(job)]
    active = sorted(
        (job for job in found if job.is_processing and not is_stuck(job)), key=lambda job: job.started_at or now
    )
    failures, failed = needs_attention.failures([job for job in found if job.is_failed], since)
    return {
        "stuck": [_named(job) for job in stuck[:SHOWN]],
        "stuck_words": _counted(len(stuck)) if len(stuck) > 1 else "",
        "failures": failures,
        "failed": [_named(job) for job in failures.fresh],
        "no_room": needs_attention.no_room(workers) if queued else None,
        "running": [_named(job) for job in active[: 2 * SHOWN]],
        "waiting": len(stuck) + failed,
        "queued": queued,
        "queued_words": queue_depth.in_words(queued),
        "processing": max(0, running - len(stuck)),
        "is_live": bool(queued or running),
        "workers": len(workers),
        "depth": numbers.over_a_day,
        "depth_words": queue_depth.day_in_words(numbers.over_a_day),
        "restarts": worker_restarts.in_words(numbers.restarts),
    }


def _counted(number: int) -> str:
    return f"{number} or more" if number >= attention.COUNTED_UP_TO else str(number)


def _named(job: Job) -> dict[str, Any]:
    return {"job": job, "title": progress_view.title_of(job.job_type), "progress": progress_view.view_of(job)}
