"""Jobs in the Django admin: view them, and free, retry or cancel them after a page that shows what will change.

Nothing here edits a row. Every action goes through `jobs.services`, which checks the permission and records it in
custody.
"""

# ruff: noqa: ARG002 # Django defines the arguments of these methods

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.admin import job_actions
from jobs.admin.paging import BoundedPaginator
from jobs.batch import ACTIONS, Action
from jobs.models import Attempt, Job, JobLogLine, Worker

SHORT = 28  # characters of an incident id in the list
STUCK_SHOWN = 10
NOTHING = "\N{EN DASH}"


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic in the stubs only
    """Shows rows; none can be added, changed or deleted."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the whole table for every choice
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: jobs come from requests, workers from processes."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: rows are read-only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: the record is kept."""
        return False


class AttemptInline(admin.TabularInline):  # type: ignore[type-arg] # generic in the stubs only
    """The attempts of one job."""

    model = Attempt
    fields = ("number", "worker_id", "started_at", "ended_at", "outcome", "error_code", "error_message")
    readonly_fields = fields
    can_delete = False
    max_num = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may see the job may see its attempts."""
        return request.user.has_perm("jobs.view_job")


class LogInline(admin.TabularInline):  # type: ignore[type-arg] # generic in the stubs only
    """The log lines of one job."""

    model = JobLogLine
    fields = ("at", "level", "message", "fields")
    readonly_fields = fields
    can_delete = False
    max_num = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may see the job may see its log."""
        return request.user.has_perm("jobs.view_job")


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Every job: the stuck ones above the list, then all, newest first."""

    list_display = ("short_id", "console", "job_type", "state", "incident", "attempts", "created_at", "error_code")
    list_filter = (job_actions.StateFilter, job_actions.JobTypeFilter, job_actions.StuckFilter)
    search_fields: ClassVar[tuple[str, ...]] = ("job_id__exact", "incident_id__exact")
    search_help_text = "job id or incident id, in full"
    ordering = ("-created_at", "-job_id")
    sortable_by = ()
    inlines = (AttemptInline, LogInline)
    actions = ("free_stuck", "retry", "cancel")

    @admin.display(description="Job")
    def short_id(self, job: Job) -> SafeString:
        """The first digits of the id; the whole of it on hover."""
        return format_html('<span class="id" title="{0}">{1}…</span>', job.job_id, str(job.job_id)[:8])

    @admin.display(description="Console")
    def console(self, job: Job) -> SafeString:
        """A link to the job's page in the console."""
        return format_html('<a href="{}">Open</a>', reverse("job-page", args=[job.job_id]))

    @admin.display(description="State")
    def state(self, job: Job) -> str:
        """The state in words; stuck ones also stand above the list."""
        is_stuck = job.is_processing and job.lease_expires_at is not None and job.lease_expires_at < timezone.now()
        return "Stuck" if is_stuck else job.get_status_display()

    @admin.display(description="Incident")
    def incident(self, job: Job) -> SafeString | str:
        """The incident, linked to its page and cut when it is long."""
        if not job.incident_id:
            return NOTHING
        address = reverse("incident-page", args=[job.incident_id])
        shown = job.incident_id if len(job.incident_id) <= SHORT else f"{job.incident_id[: SHORT - 4]}…"
        return format_html('<a href="{}" title="{}">{}</a>', address, job.incident_id, shown)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; when nothing filters it, with the stuck jobs above it."""
        found = Job.objects.filter(ACTIONS["free_stuck"].applies_to).order_by("lease_expires_at")
        stuck = [] if request.GET or request.method == "POST" else list(found[: STUCK_SHOWN + 1])
        context = {
            "stuck": stuck[:STUCK_SHOWN],
            "more_stuck": len(stuck) > STUCK_SHOWN,
            "may_free": request.user.has_perm(ACTIONS["free_stuck"].permission),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """Find by a whole id only, which has an index."""
        term = search_term.strip()
        if not term or "\x00" in term:
            return queryset, False
        try:
            return queryset.filter(job_id=UUID(term)), False
        except ValueError:
            return queryset.filter(incident_id=term), False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Only the actions that this person may take."""
        known = super().get_actions(request)
        return {
            name: known[name]
            for name, action in ACTIONS.items()
            if name in known and request.user.has_perm(action.permission)
        }

    def get_urls(self) -> list[URLPattern]:
        """The confirmation page beside Django's own."""
        confirm = path("<str:action>/confirm/", self.admin_site.admin_view(self.confirm), name="jobs_job_confirm")
        return [confirm, *super().get_urls()]

    @admin.action(description="Free stuck jobs…")
    def free_stuck(self, request: HttpRequest, chosen: QuerySet[Job]) -> HttpResponse:
        """Show what freeing the chosen jobs would change."""
        return self._preview(request, ACTIONS["free_stuck"], chosen)

    @admin.action(description="Retry jobs…")
    def retry(self, request: HttpRequest, chosen: QuerySet[Job]) -> HttpResponse:
        """Show what retrying the chosen jobs would change."""
        return self._preview(request, ACTIONS["retry"], chosen)

    @admin.action(description="Cancel jobs…")
    def cancel(self, request: HttpRequest, chosen: QuerySet[Job]) -> HttpResponse:
        """Show what cancelling the chosen jobs would change."""
        return self._preview(request, ACTIONS["cancel"], chosen)

    def confirm(self, request: HttpRequest, action: str) -> HttpResponse:
        """Take the confirmed action and report what was done and what was refused."""
        for level, line in job_actions.carry_out(request, action):
            messages.add_message(request, level, line)
        return HttpResponseRedirect(reverse("admin:jobs_job_changelist"))

    def _preview(self, request: HttpRequest, action: Action, chosen: QuerySet[Job]) -> HttpResponse:
        return job_actions.preview(request, action, chosen, self.admin_site.each_context(request))


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """Every worker process with a heartbeat in the last hour."""

    list_display = ("worker_id", "console", "state", "version", "started_at", "heartbeat_at", "jobs_done", "job")
    list_filter = ("state", "host")

    @admin.display(description="Console")
    def console(self, worker: Worker) -> SafeString:
        """A link to the host's workers in the console."""
        return format_html('<a href="{}?{}">Open</a>', reverse("workers-page"), urlencode({"host": worker.host}))

    @admin.display(description="Job")
    def job(self, worker: Worker) -> SafeString | str:
        """The job at work, linked to its page in the console."""
        if worker.current_job is None:
            return NOTHING
        address = reverse("job-page", args=[worker.current_job])
        return format_html(
            '<a class="id" href="{0}" title="{1}">{2}…</a>', address, worker.current_job, str(worker.current_job)[:8]
        )
