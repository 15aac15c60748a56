"""Home: threats to evidence, what waits for a person, running jobs, then queue, disk, newest bundles and sources."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from bundles import services
from bundles.format.model.errors import FormatError
from bundles.keys import signing_keys
from bundles.models import Bundle, DependencyStatus
from bundles.sources import dependency_status
from bundles.storage import store_identity
from foundation.principal import Principal, of_request
from jobs.console import attention, progress_view
from jobs.console.pages import is_stuck
from jobs.models import Job
from jobs.queue import queue_depth
from jobs.worker_registration import live_workers
from orchestrator_site.console import home_rows, needs_attention, visits
from orchestrator_site.console.home_rows import Row
from orchestrator_site.console.needs_attention import NoRoom
from rehydration import restore_requests
from rehydration.models import RestoreRequest

SHOWN = 5
ANSWERS_SHOWN_FOR = timedelta(days=7)  # answers to the reader's requests for a restore
LOW_DISK_SHARE = 0.05
HELD_SQL = f"""
SELECT COALESCE(sum(size), 0), COALESCE(max(size), 0), {store_identity.KNOWN_AS_JSON},
    {signing_keys.SIGNERS_AS_JSON}, {dependency_status.KNOWN_AS_JSON}
FROM orchestrator_bundles WHERE state = 'ready'"""  # noqa: S608 # put together from constants


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The home page, or only its live part for a request by htmx."""
    principal = of_request(request)
    is_live_part = bool(request.headers.get("HX-Request"))
    disk = storage()
    context: dict[str, Any] = {"here": "home", "storage": disk}
    threats: list[Row | None] = []
    waits: list[Row | None] = []
    if principal.may("bundles.view_bundle"):
        bad, context["last_bundles"] = _bundles()
        threats += [*home_rows.bad_bundles(principal, bad), _keys(principal, disk["signed"])]
    context["mine"] = _requests(principal, waits)
    queue: _Queue | None = None
    if principal.may("jobs.view_job"):
        user_id = int(request.user.pk or 0)  # every page requires a signed-in user
        since = visits.last_visit(user_id) if is_live_part else visits.begin(user_id)
        queue = _queue(principal, since, waits, disk)
        context |= queue.context
    waits += home_rows.disk(principal, disk, queue.no_room if queue else None)
    waits.append(home_rows.key_retirement(principal, signing_keys.days_until_retirement()))
    context |= {"threats": [row for row in threats if row], "waits": [row for row in waits if row]}
    return render(request, "home_live.html" if is_live_part else "home.html", context)


def _bundles() -> tuple[list[Bundle], list[Bundle]]:
    """Bundles whose file is lost or that failed verification, and the newest ones, in one query."""
    bad = Bundle.objects.filter(services.VERDICTS["failed"]).order_by("-verified_at")[: attention.COUNTED_UP_TO]
    last = Bundle.objects.filter(state="ready").order_by("-created_at")[:SHOWN]
    found = {bundle.pk: bundle for bundle in bad.union(last, all=True)}.values()
    unsafe = [bundle for bundle in found if bundle.verified_ok is False or bundle.state == "lost"]
    ready = sorted(
        (bundle for bundle in found if bundle.state == "ready"), key=lambda one: one.created_at, reverse=True
    )
    return unsafe, ready[:SHOWN]


def _keys(principal: Principal, signed: signing_keys.Signed) -> Row | None:
    try:
        return home_rows.untrusted_keys(principal, signing_keys.untrusted(signed))
    except FormatError as error:
        return home_rows.unreadable_keys(principal, error.detail)


def _requests(principal: Principal, waits: list[Row | None]) -> list[RestoreRequest]:
    """Add the open requests for a restore for those who may restore; return their own for those who may ask."""
    if principal.may(restore_requests.RESTORE):
        found = restore_requests.page(principal, state=restore_requests.OPEN, limit=attention.COUNTED_UP_TO)
        waits.append(home_rows.restore_requests(found.items))
        return []
    if not principal.may(restore_requests.ASK):
        return []
    recent = timezone.now() - ANSWERS_SHOWN_FOR
    mine = restore_requests.page(principal, limit=SHOWN).items
    return [one for one in mine if one.decided_at is None or one.decided_at > recent]


def storage() -> dict[str, Any]:
    """Disk usage of the bundle store in bytes: total, free, bundles, other files, and whether free space is low.

    By the same query also the stores registered in the database, what each key signed, and the state of the sources.
    """
    with connection.cursor() as cursor:
        cursor.execute(HELD_SQL)
        total, largest, rows, signers, sources = cursor.fetchone()
    bundles = int(total)
    read = {
        "bundles": bundles,
        "stores": store_identity.known_of(rows or []),
        "signed": signing_keys.signed_of(signers),
        "sources": dependency_status.known_of(sources),
    }
    try:
        disk = shutil.disk_usage(settings.OUTPUT_DIR)
    except OSError:
        return {"known": False, **read}
    other = max(0, disk.used - bundles)
    return {
        "known": True,
        **read,
        "total": disk.total,
        "free": disk.free,
        "largest": largest,
        "low": disk.free < max(2 * largest, disk.total * LOW_DISK_SHARE),
        "words": f"Bundle store: {disk.used / disk.total:.0%} of the disk is in use.",
        "parts": [("Bundles", bundles), ("Other files", other), ("Free", disk.free)],
    }


@dataclass(frozen=True, kw_only=True)
class _Queue:
    """What the page shows of the queue, and a queued job that fits on no disk."""

    context: dict[str, Any]
    no_room: NoRoom | None


def _queue(principal: Principal, since: datetime | None, waits: list[Row | None], disk: dict[str, Any]) -> _Queue:
    """Read jobs, workers and sources; add the rows about them."""
    now = timezone.now()
    workers = list(live_workers())
    numbers = queue_depth.now_and_over_a_day()
    queued, running = numbers.queued, numbers.processing
    queued_words = queue_depth.in_words(queued)
    # One query for stuck, running and failed jobs; ordered by lease, so that stuck jobs come first.
    leased = Job.objects.filter(status="processing").order_by("lease_expires_at")[: attention.COUNTED_UP_TO]
    found = list(leased.union(attention.failed()[: attention.COUNTED_UP_TO], all=True))
    stuck = [job for job in found if is_stuck(job)]
    active = sorted(
        (job for job in found if job.is_processing and not is_stuck(job)), key=lambda job: job.started_at or now
    )
    failures, failed = needs_attention.failures([job for job in found if job.is_failed], since)
    sources = disk["sources"]
    wrong = needs_attention.wrong_stores(workers, disk["stores"], readable=disk["known"])
    waits += [
        home_rows.failed_jobs(principal, failures),
        home_rows.stuck_jobs(principal, stuck),
        None if workers else home_rows.no_workers(principal, queued, queued_words),
        home_rows.restarts(principal, numbers.restarts, numbers.restarts_lately),
        home_rows.wrong_stores(principal, wrong),
        home_rows.sources_down(principal, [source for source in sources if not source.ok]),
    ]
    context = {
        "running": [_named(job) for job in active[: 2 * SHOWN]],
        "waiting": len(stuck) + failed,
        "queued": queued,
        "queued_words": queued_words,
        "processing": max(0, running - len(stuck)),
        "is_live": bool(queued or running),
        "workers": len(workers),
        "depth": numbers.over_a_day,
        "depth_words": queue_depth.day_in_words(numbers.over_a_day),
        "sources": _sources(sources),
    }
    return _Queue(context=context, no_room=needs_attention.no_room(workers) if queued else None)


def _sources(known: list[DependencyStatus]) -> dict[str, Any]:
    """One line about the sources: how many answered of how many, and when the one checked first was checked."""
    answered = sum(source.ok for source in known)
    return {
        "number": len(known),
        "answered": answered,
        "all_well": bool(known) and answered == len(known),
        "checked_at": min((source.seen_at for source in known), default=None),
    }


def _named(job: Job) -> dict[str, Any]:
    return {"job": job, "title": progress_view.title_of(job.job_type), "progress": progress_view.view_of(job)}
