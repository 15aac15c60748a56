"""Home: what needs a person first, then what runs, what was made last, and how full queue and disk are."""

from __future__ import annotations

import shutil
from typing import Any

from django.conf import settings
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from bundles.models import Bundle
from custody.principal import of_request
from jobs import attention, depth, services, stepper
from jobs.models import Job
from jobs.pages import is_stuck

SHOWN = 5
LOW_DISK_SHARE = 0.05


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The first page; its live part alone when a running page asks for it."""
    principal = of_request(request)
    context: dict[str, Any] = {"here": "home", "storage": storage()}
    if principal.may("jobs.view_job"):
        context |= _queue()
    if principal.may("bundles.view_bundle"):
        bundles = Bundle.objects.filter(state="ready")
        context["bad_bundles"] = bundles.filter(verified_ok=False).order_by("-verified_at")[:SHOWN]
        context["last_bundles"] = bundles.order_by("-created_at")[:SHOWN]
    return render(request, "home_live.html" if request.headers.get("HX-Request") else "home.html", context)


def storage() -> dict[str, Any]:
    """The bundle store's disk in bytes: whole, free, taken by ready bundles and by all else; and whether it is low."""
    held = Bundle.objects.filter(state="ready").aggregate(total=Sum("size"), largest=Max("size"))
    bundles, largest = held["total"] or 0, held["largest"] or 0
    try:
        disk = shutil.disk_usage(settings.OUTPUT_DIR)
    except OSError:
        return {"known": False, "bundles": bundles}
    other = max(0, disk.used - bundles)
    return {
        "known": True,
        "total": disk.total,
        "free": disk.free,
        "bundles": bundles,
        "largest": largest,
        "low": disk.free < max(2 * largest, disk.total * LOW_DISK_SHARE),
        "words": f"Bundle store: {disk.used / disk.total:.0%} of the disk is in use.",
        "parts": [("Bundles", bundles), ("Other files", other), ("Free", disk.free)],
    }


def _queue() -> dict[str, Any]:
    counts, now = services.counts(), timezone.now()
    queued, running = counts["queued"], counts["processing"]
    # Ordered by lease, the stuck ones come first; one query finds them and those that run.
    leased = Job.objects.filter(status="processing").order_by("lease_expires_at")[: attention.COUNTED_UP_TO]
    stuck = [job for job in leased if is_stuck(job)]
    active = sorted((job for job in leased if not is_stuck(job)), key=lambda job: job.started_at or now)
    failed = list(attention.failed()[: attention.COUNTED_UP_TO])
    over_a_day = depth.queued_over_a_day(queued)
    return {
        "stuck": [_named(job) for job in stuck[:SHOWN]],
        "failed": [_named(job) for job in failed[:SHOWN]],
        "running": [_named(job) for job in active[: 2 * SHOWN]],
        "waiting": len(stuck) + len(failed),
        "queued": queued,
        "queued_about": "about " if queued > depth.EXACT_UP_TO else "",
        "processing": max(0, running - len(stuck)),
        "is_live": bool(queued or running),
        "workers": services.live_worker_count(),
        "depth": over_a_day,
        "depth_words": f"Queued jobs over the last 24 hours: at most {max(over_a_day):,}, now {queued:,}.",
    }


def _named(job: Job) -> dict[str, Any]:
    return {"job": job, "title": stepper.title_of(job.job_type), "course": stepper.course_of(job)}
