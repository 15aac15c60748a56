"""The pages of the queue: jobs, one job with its live part, and workers.

A page parses its request, asks `jobs.services`, and renders; which state may follow which is decided there.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from custody.models import Event
from custody.principal import of_request
from jobs import registry, services, stepper, waiting
from jobs.models import ENDED, Job

STUCK = "stuck"
STATES = (
    ("", "Any"),
    ("queued", "Queued"),
    ("processing", "Running"),
    (STUCK, "Stuck"),
    ("completed", "Completed"),
    ("failed", "Failed"),
    ("cancelled", "Cancelled"),
)
DONE_WORDS = {"cancel": "The job was asked to stop.", "retry": "The job is queued again.", "free": "The job is free."}


class FilterForm(forms.Form):
    """What narrows the list of jobs; every field is optional and lives in the address."""

    type = forms.ChoiceField(required=False)
    incident_id = forms.CharField(label="Incident", required=False, max_length=128)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = [("", "Any"), *((kind.name, kind.title) for kind in registry.all())]
        self.fields["type"] = forms.ChoiceField(choices=kinds, required=False)
        self.fields["status"] = forms.ChoiceField(label="State", choices=STATES, required=False)
        self.order_fields(("status", "type", "incident_id"))


@require_http_methods(["GET", "HEAD", "POST"])
def jobs_page(request: HttpRequest) -> HttpResponse:
    """List jobs, newest first; POST frees the stuck jobs that the reader saw listed."""
    principal = of_request(request)
    if request.method == "POST":
        freed = services.free_stuck(principal, [UUID(text) for text in request.POST.getlist("job") if _is_uuid(text)])
        messages.success(request, f"{len(freed)} stuck {'job is' if len(freed) == 1 else 'jobs are'} free again.")
        return redirect("jobs-page")
    form = FilterForm(request.GET)
    form.is_valid()
    wanted = form.cleaned_data
    cursor = request.GET.get("cursor", "")
    if wanted.get("status") == STUCK:
        found, following = services.stuck(principal), ""
    else:
        page = services.page(
            principal,
            status=wanted.get("status") or "",
            job_type=wanted.get("type") or "",
            incident_id=wanted.get("incident_id") or "",
            cursor=cursor,
        )
        found, following = page.items, page.next
    context = {
        "form": form,
        "rows": [_row(job) for job in found],
        "next": following,
        "cursor": cursor,
        "is_filtered": any(wanted.values()),
        "only_stuck": wanted.get("status") == STUCK,
        "here": "jobs",
    }
    return render(request, "jobs/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def job_page(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show one job, whole or only its live part; POST cancels, retries or frees it."""
    principal = of_request(request)
    if request.method == "POST":
        action = request.POST.get("action", "")
        if action == "cancel":
            services.cancel(principal, job_id)
        elif action == "retry":
            services.retry(principal, job_id)
        elif action == "free":
            services.free_stuck(principal, [job_id])
        if action in DONE_WORDS:
            messages.success(request, DONE_WORDS[action])
        return redirect("job-page", job_id=job_id)
    job = services.get(principal, job_id)
    context = {**_row(job), **_details(job), "here": "jobs"}
    if principal.may("custody.view_event"):
        context["events"] = Event.objects.filter(object_type="job", object_id=str(job_id))[:10]
    template = "jobs/live.html" if request.headers.get("HX-Request") else "jobs/detail.html"
    return render(request, template, context)


@require_safe
def workers_page(request: HttpRequest) -> HttpResponse:
    """List the workers with what each is doing and when it was last heard."""
    now = timezone.now()
    rows = [
        {"worker": worker, "silent_s": silence, "late": silence > settings.ORCH_LEASE_SECONDS}
        for worker in services.workers(of_request(request))
        for silence in [(now - worker.heartbeat_at).total_seconds()]
    ]
    return render(request, "jobs/workers.html", {"rows": rows, "here": "workers"})


def is_stuck(job: Job) -> bool:
    """Whether the job is in work by a worker whose lease has run out."""
    return job.is_processing and job.lease_expires_at is not None and job.lease_expires_at < timezone.now()


def _row(job: Job) -> dict[str, Any]:
    return {
        "job": job,
        "title": stepper.title_of(job.job_type),
        "course": stepper.course_of(job),
        "stuck": is_stuck(job),
        "ended": job.status in ENDED,
    }


def _details(job: Job) -> dict[str, Any]:
    attempts = sorted(services.attempts_of(job), key=lambda attempt: attempt.number, reverse=True)
    return {
        "attempts": attempts,
        "log": services.log_of(job),
        "result": job.result or {},
        "waits_for": waiting.reason(job),
        "lease_left_s": (job.lease_expires_at - timezone.now()).total_seconds() if job.lease_expires_at else None,
    }


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
