"""The pages of batch actions on jobs: a preview by GET, which changes nothing, and the outcome of a confirmed one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from foundation.errors import InvalidRequestError
from foundation.principal import Principal, of_request
from jobs import batch, services
from jobs.console import progress_view
from jobs.console.pages import DONE_WORDS, FilterForm, Wanted

ALL_THAT_MATCH = "matching"
TO_THE_JOB = "job"  # where the page of one job leads after its confirmation


@require_http_methods(["GET", "HEAD", "POST"])
def batch_page(request: HttpRequest) -> HttpResponse:
    """Preview an action on the marked jobs, or on all that match the filter; POST takes it on the listed ones."""
    principal = of_request(request)
    if request.method == "POST":
        action = batch.action_called(request.POST.get("action", ""))
        outcome = batch.carry_out(principal, action, request.POST.getlist("job"))
        if request.POST.get("to") == TO_THE_JOB and len(outcome.done) == 1 and action.name in DONE_WORDS:
            messages.success(request, DONE_WORDS[action.name])
            return redirect("job-page", job_id=outcome.done[0])
        shown_then = {"action": action, "outcome": outcome, "done": outcome.done, "here": "jobs"}
        return render(request, "jobs/batch_outcome.html", shown_then)
    action = batch.action_called(request.GET.get("action", ""))
    _, wanted = FilterForm.filters(request)
    ids, cut = _chosen(request, principal, wanted)
    plan = batch.plan(principal, action, ids, cut=cut)
    shown = {"status": wanted["status"], "type": wanted["job_type"], "incident_id": wanted["incident_id"]}
    query = urlencode({name: value for name, value in shown.items() if value})
    to_the_job = request.GET.get("to") == TO_THE_JOB and len(ids) == 1
    context: dict[str, Any] = {
        "plan": plan,
        "action": action,
        "touched": [_row(planned) for planned in plan.touched],
        "left_alone": [_row(planned) for planned in plan.left_alone],
        "most": batch.MOST_IN_A_PREVIEW,
        "to": TO_THE_JOB if to_the_job else "",
        "back": reverse("job-page", args=ids) if to_the_job else reverse("jobs-page") + (f"?{query}" if query else ""),
        "things": "jobs",
        "is_dangerous": action.name == "cancel",
        "rows_template": "jobs/batch_rows.html",
        "touched_caption": "Will change, oldest first",
        "here": "jobs",
    }
    return render(request, "jobs/batch.html", context)


def _chosen(request: HttpRequest, principal: Principal, wanted: Wanted) -> tuple[list[UUID], bool]:
    """The jobs that the URL selects, and whether there are more than one preview may show."""
    if request.GET.get("scope") == ALL_THAT_MATCH:
        found = services.listed(principal, **wanted, limit=batch.MOST_IN_A_PREVIEW)
        return [job.job_id for job in found.items], bool(found.next)
    try:
        ids = [UUID(text) for text in request.GET.getlist("job")]
    except ValueError as error:
        raise InvalidRequestError("This is no job id.") from error
    return ids[: batch.MOST_IN_A_PREVIEW], len(ids) > batch.MOST_IN_A_PREVIEW


def _row(planned: batch.Planned) -> dict[str, Any]:
    return {
        "planned": planned,
        "job": planned.job,
        "stuck": planned.stuck,
        "title": progress_view.title_of(planned.job.job_type),
    }
