"""The pages of workers: the list with its export, and the drain of one, which a person confirms."""

from __future__ import annotations

from typing import Any, TypedDict

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from foundation import csv_export, keyset
from foundation.principal import of_request
from jobs import worker_restarts, workers
from jobs.models import Worker
from jobs.worker_registration import silent_since

STATES = (
    ("", "All live"),
    ("idle", "Idle"),
    ("busy", "Busy"),
    (workers.DRAINING, "Draining"),
    (workers.SILENT, "Silent"),
    (workers.GONE, "Gone (last hour)"),
)
COLUMNS = (
    "worker_id", "state", "host", "process", "since", "current_job", "heard_of_at", "jobs_done", "memory_bytes",
    "version", "drain_asked_at", "drain_asked_by",
)  # fmt: skip


class Wanted(TypedDict):
    """The filters of a list of workers; an empty one filters nothing."""

    state: str
    host: str


class FilterForm(forms.Form):
    """The filters of the list of workers."""

    state = forms.ChoiceField(choices=STATES, required=False)
    host = forms.CharField(required=False, max_length=255)

    @classmethod
    def filters(cls, request: HttpRequest) -> tuple[FilterForm, Wanted]:
        """The form as the URL fills it, and the valid filters."""
        form = cls(request.GET)
        form.is_valid()
        valid = form.cleaned_data
        return form, {"state": valid.get("state") or "", "host": (valid.get("host") or "").strip()}


@require_safe
def workers_page(request: HttpRequest) -> HttpResponse:
    """List the workers with the current job and last heartbeat of each."""
    form, wanted = FilterForm.filters(request)
    cursor = request.GET.get("cursor", "")
    found = workers.page(of_request(request), **wanted, cursor=cursor)
    context = {
        "form": form,
        "rows": [{"worker": worker, "state": state_of(worker)} for worker in found.items],
        "next": found.next,
        "cursor": cursor,
        "is_filtered": any(wanted.values()),
        "restarts": worker_restarts.lately(),
        "here": "workers",
    }
    return render(request, "jobs/workers.html", context)


@require_GET
def workers_csv(request: HttpRequest) -> HttpResponseBase:
    """The filtered list as CSV."""
    principal = of_request(request)
    _, wanted = FilterForm.filters(request)
    found = keyset.walk(lambda cursor: workers.page(principal, **wanted, cursor=cursor, limit=keyset.MAX_LIMIT))
    return csv_export.download("workers", COLUMNS, map(_cells, found))


@require_http_methods(["GET", "HEAD", "POST"])
def drain_page(request: HttpRequest) -> HttpResponse:
    """Show what draining a worker means for it and for the queue; POST asks it to finish and leave."""
    principal = of_request(request)
    principal.require("jobs.drain_worker")
    if request.method == "POST":
        worker = workers.drain(principal, request.POST.get("worker", ""))
        messages.success(request, f"Worker {worker.worker_id} was asked to finish and leave.")
        return redirect("workers-page")
    worker = workers.get(principal, request.GET.get("worker", ""))
    context: dict[str, Any] = {
        "worker": worker,
        "state": state_of(worker),
        "others": workers.others(worker),
        "here": "workers",
    }
    return render(request, "jobs/drain.html", context)


def state_of(worker: Worker) -> str:
    """The state of a worker as shown: `idle`, `busy`, `draining`, `silent` or `gone`."""
    silence = timezone.now() - worker.heartbeat_at
    if worker.state == Worker.State.STOPPED or silence > 2 * silent_since():
        return workers.GONE
    if silence > silent_since():
        return workers.SILENT
    if worker.drain_requested_at is not None or worker.state == Worker.State.STOPPING:
        return workers.DRAINING
    return str(worker.state)


def _cells(worker: Worker) -> tuple[object, ...]:
    return (
        worker.worker_id, state_of(worker), worker.host, worker.pid, worker.started_at, worker.current_job,
        worker.heartbeat_at, worker.jobs_done, worker.rss_bytes, worker.version, worker.drain_requested_at,
        worker.drain_requested_by,
    )  # fmt: skip
