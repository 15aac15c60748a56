"""The pages of restoring: choose, preview, confirm, outcome."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from bundles import services as bundle_services
from bundles.uploads import quarantine
from foundation.principal import Principal, of_request
from jobs import services as job_services
from jobs.console import progress_view
from jobs.errors import JobNotFoundError
from jobs.models import ENDED, Job
from rehydration import request_pages, restore_requests, services
from rehydration.handler import JOB_TYPE

TABLES = (
    ("timeline", "Timeline"),
    ("events", "Timeline events"),
    ("alerts", "Alerts"),
    ("artifacts", "Artifact records"),
    ("files", "Artifact files"),
)


@require_http_methods(["GET", "HEAD", "POST"])
def restore_page(request: HttpRequest) -> HttpResponse:
    """Choose a bundle or upload one; POST starts the preview, which writes nothing.

    Somebody who may not restore sees why, and may ask an operator.
    """
    principal = of_request(request)
    if request.method != "POST" and not principal.may(restore_requests.RESTORE):
        return request_pages.explain(request)
    principal.require(restore_requests.RESTORE)
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
        **request_pages.open_requests(principal, str(chosen.bundle_id) if chosen else ""),
    }
    return render(request, "restore/choose.html", context)


def _start_preview(request: HttpRequest, principal: Principal) -> HttpResponse:
    given = request.FILES.get("bundle_file")
    if given is not None:
        path = quarantine.receive(principal, given, given.name or "").path
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
        raise JobNotFoundError("This job is not a restore.")
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
        "progress": progress_view.view_of(job),
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
