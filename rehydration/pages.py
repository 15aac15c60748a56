"""The pages of restoring (choose, preview, confirm, outcome) and of incidents as we know them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from bundles import services as bundle_services
from bundles import uploads
from custody import exports, keyset
from custody.models import Event
from custody.principal import Principal, of_request
from jobs import services as job_services
from jobs import stepper
from jobs.models import ENDED, Job
from rehydration import services
from rehydration.errors import IncidentNotFoundError
from rehydration.handler import JOB_TYPE
from rehydration.known_incidents import IncidentSummary

TABLES = (
    ("timeline", "Timeline"),
    ("events", "Timeline events"),
    ("alerts", "Alerts"),
    ("artifacts", "Artifact records"),
    ("files", "Artifact files"),
)
COLUMNS = (
    "incident_id", "bundles", "jobs", "last_bundle", "last_bundle_at", "last_bundle_complete", "last_bundle_verified",
    "last_bundle_verified_at", "restored_at", "alerts", "events", "artifacts",
)  # fmt: skip


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


@require_safe
def incident_page(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Show what is known of one incident: its bundles, jobs, restore and custody."""
    principal = of_request(request)
    context: dict[str, Any] = {
        "incident": services.incident(principal, incident_id),
        "bundles": bundle_services.page(principal, incident_id=incident_id, limit=10),
        "here": "incidents",
    }
    if principal.may("jobs.view_job"):
        jobs = job_services.page(principal, incident_id=incident_id, limit=10)
        context["jobs"] = [{"job": job, "title": stepper.title_of(job.job_type)} for job in jobs.items]
        context["more_jobs"] = bool(jobs.next)
    if principal.may("custody.view_event"):
        context["events"] = Event.objects.filter(incident_id=incident_id)[:20]
    return render(request, "incidents/detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def restore_page(request: HttpRequest) -> HttpResponse:
    """Choose a bundle or upload one; POST starts the preview, which writes nothing."""
    principal = of_request(request)
    principal.require("rehydration.restore_bundle")
    if request.method == "POST":
        return _start_preview(request, principal)
    bundle_id = request.GET.get("bundle_id", "")
    chosen = bundle_services.get(principal, bundle_id) if bundle_id else None
    page = bundle_services.page(principal, incident_id=request.GET.get("incident_id", "").strip(), limit=20)
    restores = job_services.page(principal, job_type=JOB_TYPE, limit=5)
    context = {
        "chosen": chosen,
        "chosen_list": [chosen],
        "page": page,
        "restores": restores.items,
        "here": "restore",
    }
    return render(request, "restore/choose.html", context)


def _start_preview(request: HttpRequest, principal: Principal) -> HttpResponse:
    given = request.FILES.get("bundle_file")
    if given is not None:
        path = uploads.receive(principal, given, given.name or "").path
        requested = services.request_restore(principal, bundle_path=path, dry_run=True)
    elif request.POST.get("bundle_path"):
        requested = services.request_restore(principal, bundle_path=request.POST["bundle_path"], dry_run=True)
    elif request.POST.get("bundle_id"):
        requested = services.request_restore(principal, bundle_id=request.POST["bundle_id"], dry_run=True)
    else:
        messages.error(request, "Choose a bundle from the list, or a bundle file to upload.")
        return redirect("restore")
    return redirect("restore-preview", job_id=requested.job.job_id)


@require_http_methods(["GET", "HEAD", "POST"])
def preview_page(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show a preview or a restore, live while it runs; POST confirms the plan that is shown."""
    principal = of_request(request)
    principal.require("rehydration.restore_bundle")
    job = job_services.get(principal, job_id)
    if job.job_type != JOB_TYPE:
        raise IncidentNotFoundError("This job is not a restore.")
    fault = ""
    if request.method == "POST":
        result = job.result or {}
        if request.POST.get("incident_id", "").strip() == result.get("incident_id"):
            return _confirm(principal, job, request.POST.get("plan_digest", ""))
        fault = "That is not this incident's id. Nothing was restored."
    context = {**_preview(job), "fault": fault, "here": "restore"}
    live = request.headers.get("HX-Request") and request.method == "GET"
    template = "restore/live.html" if live else "restore/preview.html"
    return render(request, template, context)


def _confirm(principal: Principal, job: Job, plan_digest: str) -> HttpResponse:
    requested = services.request_restore(
        principal,
        bundle_path=job.payload["bundle_path"],
        verify_signature=job.payload.get("verify_signature", True),
        plan_digest=plan_digest,
        priority=job.priority,
    )
    return redirect("restore-preview", job_id=requested.job.job_id)


def _preview(job: Job) -> dict[str, Any]:
    result: dict[str, Any] = job.result or {}
    plan = result.get("plan") or {}
    rows = [{"name": name, **(plan.get(key) or {})} for key, name in TABLES if key in plan]
    dry_run = bool(job.payload.get("dry_run"))
    return {
        "job": job,
        "course": stepper.course_of(job),
        "ended": job.status in ENDED,
        "dry_run": dry_run,
        "stopped": job.status in {"failed", "cancelled"},
        "incident_id": job.incident_id or result.get("incident_id", ""),
        "result": result,
        "rows": rows,
        "new": sum(row.get("new") or 0 for row in rows),
        "plan": plan,
        "place": _place(job, dry_run=dry_run),
    }


def _place(job: Job, *, dry_run: bool) -> int:
    """Which of the five steps is at work: 1 chosen, 2 verified, 3 preview, 4 confirm, 5 outcome."""
    if not dry_run:
        return 5
    return 3 if job.is_completed else 2


def _cells(incident: IncidentSummary) -> tuple[object, ...]:
    last = incident.last_bundle
    of_bundle = (last.name, last.created_at, last.complete, last.verified_ok, last.verified_at) if last else (None,) * 5
    counts = (incident.alerts, incident.events, incident.artifacts)
    return (incident.incident_id, incident.bundles, incident.jobs, *of_bundle, incident.restored_at, *counts)
