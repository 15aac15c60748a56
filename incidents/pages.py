"""The pages of incidents: the list of those known here, and one incident with its timeline and everything about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_safe

from bundles import services as bundle_services
from bundles.errors import BundleNotFoundError
from bundles.models import TimelinePoint
from bundles.timelines.reading import SEVERITIES
from bundles.timelines.times import UNDATED
from custody import exports
from custody.models import Event
from foundation import keyset
from foundation.principal import of_request
from incidents import services, summary
from incidents.known import IncidentSummary
from incidents.summary import IncidentView
from incidents.timeline import drawing, event_query
from incidents.timeline.filters import Filter, FilterForm, iso_of, moment_at, phase_words, typed_of
from jobs import services as job_services
from jobs.console import progress_view

LISTED = 10
COLUMNS = (
    "incident_id", "bundles", "jobs", "last_bundle", "last_bundle_at", "last_bundle_complete", "last_bundle_verified",
    "last_bundle_verified_at", "restored_at", "alerts", "events_restored", "artifacts",
)  # fmt: skip
ZOOM_OUT = 3


@require_safe
def incidents_page(request: HttpRequest) -> HttpResponse:
    """List the incidents that jobs, bundles or restores name."""
    search, cursor = request.GET.get("search", "").strip(), request.GET.get("cursor", "")
    page = services.incidents(of_request(request), search=search, cursor=cursor)
    context = {"page": page, "search": search, "cursor": cursor, "here": "incidents"}
    return render(request, "incidents/list.html", context)


@require_GET
def incidents_csv(request: HttpRequest) -> HttpResponseBase:
    """The filtered list as CSV, by id."""
    principal = of_request(request)
    search = request.GET.get("search", "").strip()
    incidents = keyset.walk(
        lambda cursor: services.incidents(principal, search=search, cursor=cursor, limit=keyset.MAX_LIMIT)
    )
    return exports.as_csv(principal, "incidents", COLUMNS, map(_cells, incidents), filters={"search": search})


def _cells(incident: IncidentSummary) -> tuple[object, ...]:
    last = incident.last_bundle
    of_bundle = (last.name, last.created_at, last.complete, last.verified_ok, last.verified_at) if last else (None,) * 5
    counts = (incident.known_alerts, incident.events, incident.known_artifacts)
    return (incident.incident_id, incident.bundles, incident.jobs, *of_bundle, incident.restored_at, *counts)


@require_safe
def incident_page(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Show what is known of one incident: timeline, alerts, artifacts, bundles, jobs and custody."""
    principal = of_request(request)
    bundles = bundle_services.page(principal, incident_id=incident_id, limit=LISTED)
    view = summary.incident_view(principal, incident_id, bundles=bundles, asked=request.GET.get("origin", ""))
    context: dict[str, Any] = {
        "incident": view,
        "artifacts": _artifacts(view, request.GET.get("artifacts", "")),
        "here": "incidents",
        **_timeline(request, view),
    }
    if principal.may("jobs.view_job"):
        jobs = job_services.page(principal, incident_id=incident_id, limit=LISTED)
        context["jobs"] = [{"job": job, "title": progress_view.title_of(job.job_type)} for job in jobs.items]
        context["more_jobs"] = bool(jobs.next)
    if principal.may("custody.view_event"):
        context["events"] = Event.objects.filter(incident_id=incident_id)[:LISTED]
    return render(request, "incidents/detail.html", context)


def _artifacts(view: IncidentView, place: str) -> dict[str, Any] | None:
    """None when the manifest that lists them is not stored here."""
    try:
        return summary.artifacts(view, place)
    except BundleNotFoundError:
        return None


def _timeline(request: HttpRequest, view: IncidentView) -> dict[str, Any]:
    """The drawing, its totals and the table below it, all through one filter; nothing where there is no timeline."""
    kept = view.kept
    if kept is None or not kept.kept:
        return {}
    form = FilterForm(request.GET)
    wanted = form.filter()
    gathered = event_query.gather(kept, wanted)
    cursor = request.GET.get("cursor", "")
    page = event_query.events_page(kept, wanted, cursor)
    return {
        "form": form,
        "wanted": wanted,
        "since": typed_of(wanted.since_us),
        "until": typed_of(wanted.until_us, end=True),
        "gathered": gathered,
        "hidden": kept.kept - gathered.events,
        "phases": [_phase_row(lane, wanted, view.origin) for lane in gathered.lanes],
        "severities": event_query.severity_rows(gathered.severities),
        "drawing": drawing.draw(gathered, wanted, view.origin) if gathered.events > gathered.undated else None,
        "key": drawing.legend(),
        "from": moment_at(kept.first_us) if kept.first_us is not None else None,
        "to": moment_at(kept.last_us) if kept.last_us is not None else None,
        "listed": [_event_row(point) for point in page.items],
        "next": page.next,
        "cursor": cursor,
        **_ways_out(wanted, view, gathered),
    }


def _event_row(point: TimelinePoint) -> dict[str, Any]:
    at = "" if point.at_us == UNDATED else _shown(moment_at(point.at_us))
    return {
        "point": point,
        "at": at,
        "iso": iso_of(point.at_us) if at else "",
        "recorded_time": drawing.marked(point.time),
        "has_text_beside": not _is_same(at, point.time),
        "phase": phase_words(point.phase),
        "severity": SEVERITIES[point.severity],
        "shape": drawing.shape_of(point.severity),
        "kind": point.kind.replace("_", " "),
    }


def _shown(at: datetime) -> str:
    """To the millisecond, or to the microsecond where the event has them."""
    return at.replace(tzinfo=None).isoformat(" ", "microseconds" if at.microsecond % 1000 else "milliseconds")


def _is_same(at: str, original: str) -> bool:
    """Whether the original text is the shown time in the same figures, which need not stand twice."""
    figures, in_utc, rest = original.partition("Z")
    if not in_utc:
        figures, in_utc, rest = original.partition("+00:00")
    whole = figures.replace("T", " ") + ("" if "." in figures else ".")
    return bool(in_utc) and not rest and whole.rstrip("0") == at.rstrip("0")


def _phase_row(lane: event_query.Lane, wanted: Filter, origin: str) -> dict[str, Any]:
    return {
        "name": phase_words(lane.phase),
        "href": wanted.query(origin, phase=lane.phase) + "#kill-chain",
        "events": lane.events,
        "undated": lane.undated,
        "severities": event_query.severity_rows(lane.severities),
        "first": moment_at(lane.first_us) if lane.first_us is not None else None,
        "last": moment_at(lane.last_us) if lane.last_us is not None else None,
    }


def _ways_out(wanted: Filter, view: IncidentView, gathered: event_query.Gathered) -> dict[str, str]:
    """Links that widen the filter: zoom out by three, all phases, everything."""
    kept = view.kept
    if kept is None or not wanted.is_set:
        return {}
    ways = {"back_to_all": Filter().query(view.origin) + "#kill-chain"}
    if wanted.phase is not None:
        ways["all_phases"] = wanted.query(view.origin, phase=None) + "#kill-chain"
    if wanted.has_times and kept.first_us is not None and kept.last_us is not None:
        start, end = gathered.axis.start_us, max(gathered.axis.end_us, gathered.axis.start_us)
        span = max(end - start, 1_000_000)
        since = max(start - span * (ZOOM_OUT - 1) // 2, kept.first_us)
        until = min(end + span * (ZOOM_OUT - 1) // 2, kept.last_us)
        covers = (since, until) == (kept.first_us, kept.last_us)
        times: dict[str, int | None] = {"since_us": None if covers else since, "until_us": None if covers else until}
        ways["zoom_out"] = wanted.query(view.origin, **times) + "#kill-chain"
    return ways
