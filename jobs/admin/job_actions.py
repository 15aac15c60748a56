"""The three actions of the admin on jobs, each with a page that first lists what will change."""

# ruff: noqa: ARG002 # Django defines the arguments of the filters' methods

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from foundation.errors import AppError
from foundation.principal import of_request
from jobs.admin.paging import state_counts
from jobs.batch import ACTIONS, MOST_AT_ONCE, Action
from jobs.models import Job, Status
from jobs.queue import registry


class StateFilter(admin.SimpleListFilter):
    """By state, each with its number of jobs, counted up to ten thousand."""

    title = "state"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The five states."""
        return [(state, f"{Status(state).label} ({number})") for state, number in state_counts().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """The jobs in the chosen state; none for an unknown state."""
        return queryset.filter(status__in=[self.value()]) if self.value() else queryset


class JobTypeFilter(admin.SimpleListFilter):
    """By job type, from the registry: no query over the table."""

    title = "type"
    parameter_name = "job_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The registered types."""
        return [(job_type.name, job_type.title) for job_type in registry.all()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """The jobs of the chosen type."""
        return queryset.filter(job_type=self.value()) if self.value() else queryset


class StuckFilter(admin.SimpleListFilter):
    """Only the jobs that are processing with an expired lease."""

    title = "stuck"
    parameter_name = "stuck"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Stuck, or all."""
        return [("yes", "Stuck (lease expired)")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """The stuck jobs, when the filter is set."""
        return queryset.filter(ACTIONS["free_stuck"].applies_to) if self.value() == "yes" else queryset


def preview(request: HttpRequest, action: Action, chosen: QuerySet[Job], context: dict[str, Any]) -> HttpResponse:
    """The page that lists what the action would change and what it would leave alone; changes nothing."""
    ids = list(chosen.order_by().values_list("job_id", flat=True)[: MOST_AT_ONCE + 1])
    some = Job.objects.filter(job_id__in=ids[:MOST_AT_ONCE]).order_by("created_at", "job_id")
    changing = list(some.filter(action.applies_to))
    left_alone = list(some.exclude(job_id__in=[job.job_id for job in changing]))
    return TemplateResponse(
        request,
        "admin/jobs/confirm.html",
        {
            **context,
            "title": action.title,
            "action": action,
            "changing": changing,
            "left_alone": left_alone,
            "cut_at": MOST_AT_ONCE if len(ids) > MOST_AT_ONCE else None,
            "list_url": reverse("admin:jobs_job_changelist"),
            "confirm_url": reverse("admin:jobs_job_confirm", args=[action.name]),
        },
    )


def carry_out(request: HttpRequest, name: str) -> list[tuple[int, str]]:
    """Take the confirmed action on each named job.

    Args:
        request: a POST with a `job` field for each job.
        name: the action's.

    Returns:
        Lines for the person, each with its message level. A job whose state no longer allows the action is named with
        the reason; the others are still done.

    Raises:
        BadRequest: not a POST, an unknown action, or a malformed job id.
    """
    action = ACTIONS.get(name)
    if action is None or request.method != "POST":
        raise BadRequest("There is no such action.")
    try:
        ids = [UUID(job_id) for job_id in request.POST.getlist("job")[:MOST_AT_ONCE]]
    except ValueError as error:
        raise BadRequest("This is no job id.") from error
    principal = of_request(request)
    done, lines = 0, []
    for job_id in ids:
        try:
            action.act(principal, job_id)
            done += 1
        except AppError as error:
            lines.append((messages.WARNING, f"{job_id}: {error} ({error.code})"))
    if done:
        lines.insert(0, (messages.SUCCESS, f"{action.title}: {done} done."))
    return lines
