"""The pages of jobs: the list with its export, and one job with its live part.

A page parses its request, calls `jobs.services` and renders. Which state may follow which is decided there.
"""

from __future__ import annotations

from typing import Any, TypedDict
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from custody import exports
from foundation import keyset
from foundation.principal import of_request
from jobs import batch, duplicate, services, waiting
from jobs.console import custody_of_job, life, log_view, progress_view, seen
from jobs.models import ENDED, Job
from jobs.queue import registry

STATES = (
    ("", "Any"),
    ("queued", "Queued"),
    ("processing", "Running"),
    (services.STUCK, "Stuck"),
    ("completed", "Completed"),
    ("failed", "Failed"),
    ("cancelled", "Cancelled"),
)
RETRIED = "The job is queued again."
DONE_WORDS = {"cancel": "The job was asked to stop.", "retry": RETRIED, "free": "The job is free."}
WAITS = "The job waits, and runs when what it needs answers."
ALREADY_ACTIVE = "An equal job is queued or running already. This is it; no second one was started."
COLUMNS = (
    "job_id", "state", "type", "incident_id", "priority", "asked_at", "asked_by", "started_at", "ended_at", "percent",
    "phase", "attempts", "failed_tries", "worker", "error_code", "error_message",
)  # fmt: skip


class Wanted(TypedDict):
    """The filters of a list of jobs; an empty one filters nothing."""

    status: str
    job_type: str
    incident_id: str


class FilterForm(forms.Form):
    """The filters of the list of jobs; every field is optional and part of the URL."""

    type = forms.ChoiceField(required=False)
    incident_id = forms.CharField(label="Incident", required=False, max_length=128)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        types = [("", "Any"), *((job_type.name, job_type.title) for job_type in registry.all())]
        self.fields["type"] = forms.ChoiceField(choices=types, required=False)
        self.fields["status"] = forms.ChoiceField(label="State", choices=STATES, required=False)
        self.order_fields(("status", "type", "incident_id"))

    @classmethod
    def filters(cls, request: HttpRequest) -> tuple[FilterForm, Wanted]:
        """The form as the URL fills it, and the valid filters by their names in `services.listed`."""
        form = cls(request.GET)
        form.is_valid()
        valid = form.cleaned_data
        return form, {
            "status": valid.get("status") or "",
            "job_type": valid.get("type") or "",
            "incident_id": (valid.get("incident_id") or "").strip(),
        }


@require_safe
def jobs_page(request: HttpRequest) -> HttpResponse:
    """List jobs, newest first, with checkboxes for batch actions."""
    principal = of_request(request)
    form, wanted = FilterForm.filters(request)
    cursor = request.GET.get("cursor", "")
    found = services.listed(principal, **wanted, cursor=cursor)
    rows = [_list_row(job) for job in found.items]
    context = {
        "form": form,
        "rows": rows,
        "columns": _columns(rows),
        "next": found.next,
        "cursor": cursor,
        "filters": {"status": wanted["status"], "type": wanted["job_type"], "incident_id": wanted["incident_id"]},
        "script_query": _script_query(wanted),
        "is_filtered": any(wanted.values()),
        "only_stuck": wanted["status"] == services.STUCK,
        "actions": [action for action in batch.ACTIONS.values() if principal.may(action.permission)],
        "most": batch.MOST_IN_A_PREVIEW,
        "here": "jobs",
    }
    return render(request, "jobs/list.html", context)


@require_GET
def jobs_csv(request: HttpRequest) -> HttpResponseBase:
    """The filtered list as CSV, in the order of the page."""
    principal = of_request(request)
    _, wanted = FilterForm.filters(request)
    jobs = keyset.walk(lambda cursor: services.listed(principal, **wanted, cursor=cursor, limit=keyset.MAX_LIMIT))
    return exports.as_csv(principal, "jobs", COLUMNS, map(_cells, jobs), filters=wanted)


@require_http_methods(["GET", "HEAD", "POST"])
def job_page(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show one job, the whole page or only its live part; POST cancels, retries, frees or copies it."""
    principal = of_request(request)
    if request.method == "POST":
        action = request.POST.get("action", "")
        if action == "cancel":
            services.cancel(principal, job_id)
        elif action == "retry":
            services.retry(principal, job_id)
        elif action == "retry_when_available":
            waits = services.retry(principal, job_id, when_available=True).waits_for
            messages.success(request, WAITS if waits else RETRIED)
        elif action == "free":
            services.free_stuck(principal, [job_id])
        elif action == "copy":
            made = duplicate.copy(principal, job_id)
            if not made.created:
                messages.info(request, ALREADY_ACTIVE)
            return redirect("job-page", job_id=made.job_id)
        if action in DONE_WORDS:
            messages.success(request, DONE_WORDS[action])
        return redirect("job-page", job_id=job_id)
    job = services.get(principal, job_id)
    context = {**_row(job), **_details(job), "can_copy": duplicate.can_copy(principal, job), "here": "jobs"}
    context["seen"] = seen.tag_of(request, job)
    context["version"] = context["seen"][: seen.VERSION_CHARS]
    if principal.may("custody.view_event"):
        context["events"] = custody_of_job.events_of(job)
    template = "jobs/live.html" if request.headers.get("HX-Request") else "jobs/detail.html"
    return render(request, template, context)


def is_stuck(job: Job) -> bool:
    """Whether the job is processing with an expired lease."""
    return job.is_processing and job.lease_expires_at is not None and job.lease_expires_at < timezone.now()


def _row(job: Job) -> dict[str, Any]:
    return {
        "job": job,
        "title": progress_view.title_of(job.job_type),
        "progress": progress_view.view_of(job),
        "stuck": is_stuck(job),
        "ended": job.status in ENDED,
    }


def _list_row(job: Job) -> dict[str, Any]:
    about = {"summary": _summary(job), "took": _took(job), "waits_for": waiting.dependency_title(job)}
    return {**_row(job), **about}


def _columns(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """Which columns of the list have a value in any row; the others are left out."""
    jobs: list[Job] = [row["job"] for row in rows]
    return {
        "incident": any(job.incident_id for job in jobs),
        "outcome": any(job.is_processing or job.error_code or job.waits_for for job in jobs)
        or any(row["summary"] for row in rows),
        "took": any(row["took"] for row in rows),
        "attempts": any(job.attempts for job in jobs),
    }


def _summary(job: Job) -> registry.Summary | None:
    found = next((known.summary for known in registry.all() if known.name == job.job_type), None)
    return found(job) if found is not None and job.is_completed else None


def _took(job: Job) -> str:
    seconds = life.duration_s(job)
    return "" if seconds is None else life.duration(seconds)


def _details(job: Job) -> dict[str, Any]:
    attempts = services.attempts_of(job)
    return {
        "before": attempts[-2] if len(attempts) > 1 else None,
        "life": life.life_of(job, attempts),
        "log": log_view.lines_of(job),
        "result": job.result or {},
        "waits_for": waiting.reason(job),
        "lease_left_s": (job.lease_expires_at - timezone.now()).total_seconds() if job.lease_expires_at else None,
        **_offers(job),
    }


def _offers(job: Job) -> dict[str, Any]:
    """What the job's type adds to the page of a completed job."""
    found = next((known.offers for known in registry.all() if known.name == job.job_type), None)
    return found(job) if found is not None and job.is_completed else {}


def _script_query(wanted: Wanted) -> str:
    """The filter as query of the API, where a stuck job is a processing one."""
    in_the_api = "processing" if wanted["status"] == services.STUCK else wanted["status"]
    query = {"status": in_the_api, "type": wanted["job_type"], "incident_id": wanted["incident_id"]}
    return urlencode({name: value for name, value in query.items() if value})


def _cells(job: Job) -> tuple[object, ...]:
    progress = progress_view.view_of(job)
    return (
        job.job_id, services.STUCK if is_stuck(job) else job.status, job.job_type, job.incident_id, job.priority,
        job.created_at, job.requested_by, job.started_at, job.completed_at, progress.percent, progress.phase,
        job.attempts, job.retry_count, job.worker_id, job.error_code, job.error_message,
    )  # fmt: skip
