"""The pages of incidents: the list of those known here, and one incident with its timeline and everything about it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST, require_safe

from bundles.errors import BundleNotFoundError
from bundles.models import KeptTimeline
from bundles.timelines.reading import ALERT, ARTIFACT, EVENT
from custody import exports
from custody.models import Event
from foundation import keyset
from foundation.principal import of_request
from incidents import attack, columns, facts_view, from_sources, record_rows, saved_views, services, summary
from incidents.errors import ViewInvalidError
from incidents.known import IncidentSummary
from incidents.summary import IncidentView
from incidents.timeline import drawing, record_query
from incidents.timeline.filters import EVERYTHING, KINDS, Filter, FilterForm, iso_of, moment_at, typed_of
from jobs import services as job_services
from jobs.console import progress_view

LISTED = 10
COLUMNS = (
    "incident_id", "bundles", "jobs", "last_bundle", "last_bundle_at", "last_bundle_complete", "last_bundle_verified",
    "last_bundle_verified_at", "restored_at", "alerts", "events_restored", "artifacts",
)  # fmt: skip
ZOOM_OUT = 3
THINGS = {EVENT: "event", ALERT: "alert", ARTIFACT: "artifact", EVERYTHING: "record"}


@require_safe
def incidents_page(request: HttpRequest) -> HttpResponse:
    """List the incidents that jobs, bundles or restores name."""
    search, cursor = request.GET.get("search", "").strip(), request.GET.get("cursor", "")
    page = services.incidents(of_request(request), search=search, cursor=cursor)
    context = {
        "page": page,
        "search": search,
        "cursor": cursor,
        "sources_list": from_sources.can_list(),
        "here": "incidents",
    }
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
    view = services.view(principal, incident_id, request.GET.get("origin", ""))
    context: dict[str, Any] = {
        "incident": view,
        "changed": facts_view.changed(*view.bundles[:2]) if len(view.bundles) > 1 else None,
        "artifacts": _artifacts(view, request.GET.get("artifacts", "")),
        "here": "incidents",
        **_records(request, view),
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


@require_POST
def views_page(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Save or delete a view, or choose the columns of the list, and return to the incident."""
    principal = of_request(request)
    action, query = request.POST.get("action", ""), request.POST.get("query", "")
    if action == "save":
        query = saved_views.save(principal, request.POST.get("name", ""), query).query
    elif action == "delete":
        saved_views.delete(principal, request.POST.get("name", ""))
    elif action == "columns":
        saved_views.choose_columns(principal, request.POST.getlist("column"))
    else:
        raise ViewInvalidError("The action is not one of save, delete and columns.")
    parameters = QueryDict(query.removeprefix("?")).urlencode()  # as a query and nothing else
    return redirect(
        reverse("incident-page", args=[incident_id]) + (f"?{parameters}" if parameters else "") + "#records"
    )


def _records(request: HttpRequest, view: IncidentView) -> dict[str, Any]:
    """The facts, the drawing, its totals and the list below it; nothing where no record is indexed."""
    kept = view.kept
    if kept is None or not kept.kept:
        return {}
    views, chosen = saved_views.split(view.saved)
    form = FilterForm(request.GET)
    wanted, kind = form.filter(), form.kind_of_list()
    gathered = record_query.gather(kept, wanted)
    listed = gathered.of_kind(kind)
    total = _total(kept, kind)
    cursor = request.GET.get("cursor", "")
    page = record_query.records_page(kept, wanted, kind, cursor)
    return {
        "form": form,
        "wanted": wanted,
        "kind": kind,
        "kinds": _kinds(gathered, wanted, view, kind),
        "since": typed_of(wanted.since_us),
        "until": typed_of(wanted.until_us, end=True),
        "span": [iso_of(end_us)[:16].replace("T", " ") for end_us in (kept.main_first_us, kept.main_last_us)],
        "of_kind": listed,
        "total": total,
        "things": THINGS[kind],
        "hidden": total - listed.records,
        "cut": _cut(gathered, wanted, view.origin, kind),
        "lanes": [_lane_row(lane, wanted, view.origin) for lane in gathered.lanes],
        "drawing": (drawing.draw(gathered, wanted, view.origin, kind) if gathered.records > gathered.undated else None),
        "key": drawing.legend(),
        "facts": facts_view.of(view),
        "attack": attack.matrix(view, wanted),
        "listed": [record_rows.row_of(record, view) for record in page.items],
        "columns": columns.shown(chosen, kind),
        "all_columns": columns.ALL,
        "views": views,
        "view_query": wanted.query(kind=kind),
        "next": page.next,
        "cursor": cursor,
        **_ways_out(wanted, view, gathered, kind),
    }


def _cut(gathered: record_query.Gathered, wanted: Filter, origin: str, kind: str) -> dict[str, Any] | None:
    """Up to when the drawing and the numbers go if more records match, and the address of what follows."""
    if not gathered.is_cut:
        return None
    end_us = gathered.axis.end_us
    rest = wanted.query(origin, kind, since_us=end_us) + "#kill-chain" if end_us != wanted.since_us else ""
    return {"most": record_query.MOST_MATCHES, "until": moment_at(end_us), "rest": rest}


def _total(kept: KeptTimeline, kind: str) -> int:
    """How many records of a kind are indexed."""
    counted = kept.facts["severities"]
    return kept.kept if kind == EVERYTHING else sum(counted.get(kind, {}).values())


def _kinds(gathered: record_query.Gathered, wanted: Filter, view: IncidentView, kind: str) -> list[dict[str, Any]]:
    """The lists of records, each with its number and address."""
    return [
        {
            "name": name,
            "records": gathered.of_kind(one).records,
            "href": wanted.query(view.origin, one) + "#records",
            "is_current": one == kind,
        }
        for one, name in KINDS.items()
    ]


def _lane_row(lane: record_query.Lane, wanted: Filter, origin: str) -> dict[str, Any]:
    phase = {"phase": lane.phase} if lane.kind == EVENT else {}
    return {
        "name": drawing.lane_words(lane),
        "href": wanted.query(origin, lane.kind, **phase) + "#kill-chain",
        "records": lane.records,
        "undated": lane.undated,
        "severities": record_query.severity_rows(lane.severities),
        "first": moment_at(lane.first_us) if lane.first_us is not None else None,
        "last": moment_at(lane.last_us) if lane.last_us is not None else None,
    }


def _ways_out(wanted: Filter, view: IncidentView, gathered: record_query.Gathered, kind: str) -> dict[str, str]:
    """Links that widen the filter: zoom out by three, all phases, everything."""
    kept = view.kept
    if kept is None or not wanted.is_set:
        return {}
    ways = {"back_to_all": Filter().query(view.origin, kind) + "#kill-chain"}
    if wanted.phase is not None:
        ways["all_phases"] = wanted.query(view.origin, kind, phase=None) + "#kill-chain"
    if wanted.has_times and kept.first_us is not None and kept.last_us is not None:
        start, end = gathered.axis.start_us, max(gathered.axis.end_us, gathered.axis.start_us)
        span = max(end - start, 1_000_000)
        since = max(start - span * (ZOOM_OUT - 1) // 2, kept.first_us)
        until = min(end + span * (ZOOM_OUT - 1) // 2, kept.last_us)
        covers = (since, until) == (kept.first_us, kept.last_us)
        times: dict[str, int | None] = {"since_us": None if covers else since, "until_us": None if covers else until}
        ways["zoom_out"] = wanted.query(view.origin, kind, **times) + "#kill-chain"
    return ways
