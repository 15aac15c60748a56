"""The queue's tables. Only `jobs.queue` changes a job's state; the rules are constraints in the migrations.

A missing text is empty, not NULL; a missing time, token or result is NULL.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.base import ModelState
from django.db.models.functions import Now

from jobs.measures import HistogramBucket  # noqa: F401 # a model of this app, found by this import

JOB_ID_HELP = "stable name of the job in the API, the log and on pages"


class Status(models.TextChoices):
    """The five states of a job."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (Status.QUEUED, Status.PROCESSING)
ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class Job(models.Model):
    """A durable request for work."""

    job_id = models.UUIDField(primary_key=True, default=uuid.uuid4, help_text=JOB_ID_HELP)
    job_type = models.TextField()
    status: models.TextField[str, str] = models.TextField(choices=Status.choices, default=Status.QUEUED)
    payload = models.JSONField(default=dict)
    idempotency_key = models.TextField(blank=True, default="")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, help_text="start of the last attempt")
    completed_at = models.DateTimeField(null=True, help_text="when it was completed, failed or cancelled")
    worker_id = models.TextField(blank=True, default="", help_text="the worker that holds the lease")
    error_code = models.TextField(blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    retry_count = models.IntegerField(default=0, help_text="failed attempts since it was last queued by a person")
    max_retries = models.IntegerField(
        default=3, help_text="attempts that a job has before it fails: 3 means three attempts, not three retries"
    )
    priority = models.IntegerField(default=100, help_text="-1000 to 1000; higher is claimed first")
    run_after = models.DateTimeField()
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    progress = models.JSONField(default=dict)
    cancel_requested = models.BooleanField(default=False)
    result = models.JSONField(null=True)
    incident_id = models.TextField(blank=True, default="")
    requested_by = models.TextField(blank=True, default="")
    attempts = models.IntegerField(default=0, help_text="attempts in all: one for each claim")
    active_key = models.TextField(null=True)  # noqa: DJ001 # NULL keeps it out of the unique index
    order_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="order of claims: creation time, shifted by priority"
    )
    exclusive_key = models.TextField(null=True, help_text="of jobs with the same key, one runs at a time")  # noqa: DJ001 # NULL: no key
    slot = models.SmallIntegerField(null=True, help_text="which of its type's limited places it takes while it runs")
    needs_bytes = models.BigIntegerField(db_default=0, default=0, help_text="disk space that it is expected to need")
    waits_for = models.TextField(
        blank=True, db_default="", default="", help_text="the dependency that a queued job waits for, such as `sources`"
    )

    class Meta:
        """Table, keyset indexes and permissions."""

        db_table = "orchestrator_jobs"
        ordering = ("-created_at", "-job_id")
        default_permissions = ("view",)
        permissions = (
            ("cancel_job", "Can cancel a job"),
            ("retry_job", "Can retry a job"),
            ("free_job", "Can free a stuck job"),
        )
        indexes = (
            models.Index(fields=["-created_at", "-job_id"], name="jobs_by_age"),
            models.Index(fields=["status", "-created_at", "-job_id"], name="jobs_by_status"),
            models.Index(fields=["job_type", "-created_at", "-job_id"], name="jobs_by_type"),
            models.Index(fields=["incident_id", "-created_at", "-job_id"], name="jobs_by_incident"),
        )

    def __str__(self) -> str:
        """The job in one line."""
        return f"{self.job_type} {self.job_id} ({self.status})"

    @classmethod
    def of_json(cls, text: str) -> Job:
        """The job from a row that the server returned as JSON, whose keys are the columns.

        Built the way Django unpickles a model, as the constructor takes longer than parsing the text.
        """
        row = json.loads(text)
        for name, convert in _converted():
            if row[name] is not None:
                row[name] = convert(row[name])
        job = cls.__new__(cls)
        state = ModelState()
        state.db, state.adding = DEFAULT_DB_ALIAS, False
        job.__dict__.update(row, _state=state)
        return job

    @property
    def is_queued(self) -> bool:
        """Whether it waits for a worker."""
        return Status.QUEUED.value == self.status

    @property
    def is_processing(self) -> bool:
        """Whether a worker holds its lease, or held it until it expired."""
        return Status.PROCESSING.value == self.status

    @property
    def is_completed(self) -> bool:
        """Whether it succeeded."""
        return Status.COMPLETED.value == self.status

    @property
    def is_failed(self) -> bool:
        """Whether it failed."""
        return Status.FAILED.value == self.status

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled."""
        return Status.CANCELLED.value == self.status


@cache
def _converted() -> list[tuple[str, Callable[[str], Any]]]:
    """The columns of a job that are text in JSON, each with the function that converts it."""
    converters: dict[type[models.Field[Any, Any]], Callable[[str], Any]] = {
        models.UUIDField: uuid.UUID,
        models.DateTimeField: datetime.fromisoformat,
    }
    fields = Job._meta.concrete_fields  # noqa: SLF001 # documented API of Django
    return [(field.attname, converters[type(field)]) for field in fields if type(field) in converters]


class Attempt(models.Model):
    """One attempt at a job, from claim to end; kept however it ended."""

    class Outcome(models.TextChoices):
        """How an attempt ended."""

        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"
        RELEASED = "released"
        LOST = "lost"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="history", db_index=False)
    number = models.IntegerField()
    worker_id = models.TextField()
    lease_token = models.UUIDField(primary_key=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.TextField(choices=Outcome.choices, default=Outcome.RUNNING)
    error_code = models.TextField(blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    phases = models.JSONField(
        default=dict, db_default={}, help_text="when each phase began, in seconds after the attempt; set at its end"
    )

    class Meta:
        """Whoever may see the job may see it: no permission of its own."""

        db_table = "orchestrator_job_attempts"
        ordering = ("number",)
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["job", "number"], name="attempt_number_once"),)

    def __str__(self) -> str:
        """The attempt in one line."""
        return f"attempt {self.number} by {self.worker_id}: {self.outcome}"


class Worker(models.Model):
    """One worker process. `state` is what it last reported; `heartbeat_at` shows whether it is alive."""

    class State(models.TextChoices):
        """What a worker is doing."""

        IDLE = "idle"
        BUSY = "busy"
        STOPPING = "stopping"
        STOPPED = "stopped"

    worker_id = models.TextField(primary_key=True)
    host = models.TextField()
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    version = models.TextField()
    heartbeat_at = models.DateTimeField()
    current_job = models.UUIDField(null=True)
    state = models.TextField(choices=State.choices, default=State.IDLE)
    jobs_done = models.BigIntegerField(default=0)
    rss_bytes = models.BigIntegerField(default=0)
    room = models.JSONField(
        default=dict, db_default={}, help_text="free bytes on its host for each type that needs disk space"
    )
    hindrances = models.JSONField(
        default=dict, db_default={}, help_text="why its host cannot do a job type now, by type"
    )
    drain_requested_at = models.DateTimeField(null=True, help_text="when it was asked to finish its job and leave")
    drain_requested_by = models.TextField(blank=True, default="", db_default="")

    class Meta:
        """Table and permissions."""

        db_table = "orchestrator_workers"
        ordering = ("host", "pid")
        default_permissions = ("view",)
        permissions = (("drain_worker", "Can ask a worker to finish and stop"),)

    def __str__(self) -> str:
        """The worker in one line."""
        return f"{self.worker_id} ({self.state})"


class IdempotencyKey(models.Model):
    """The job of an idempotency key, so that the same request gets the same job."""

    principal = models.TextField()
    operation = models.TextField()
    key = models.TextField()
    request_hash = models.CharField(max_length=64, help_text="SHA-256 of the canonical request")
    job = models.ForeignKey(Job, on_delete=models.CASCADE)
    created_at = models.DateTimeField()

    class Meta:
        """One row for each principal, operation and key: the constraint decides between racing requests."""

        db_table = "orchestrator_idempotency"
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["principal", "operation", "key"], name="idempotency_key_once"),)

    def __str__(self) -> str:
        """The key in one line."""
        return f"{self.principal} {self.operation} {self.key}"


class JobLogLine(models.Model):
    """One line that a handler logged; the last 500 of each job are kept."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="log", db_index=False)
    at = models.DateTimeField()
    level = models.TextField()
    message = models.TextField()
    fields = models.JSONField(default=dict)

    class Meta:
        """Whoever may see the job may see it: no permission of its own."""

        db_table = "orchestrator_job_log"
        ordering = ("id",)
        default_permissions = ()
        indexes = (models.Index(fields=["job", "id"], name="log_of_job"),)

    def __str__(self) -> str:
        """The line as in a log file."""
        return f"{self.level} {self.message}"


class JobTotal(models.Model):
    """How often a job of a type entered a state, as the sum over `shard`. Only grows: purging changes nothing."""

    job_type = models.TextField()
    status: models.TextField[str, str] = models.TextField(choices=Status.choices)
    shard = models.SmallIntegerField(default=0, help_text="spreads one count over several rows, to avoid lock waits")
    count = models.BigIntegerField(default=0)

    class Meta:
        """One row for each type, state and shard."""

        db_table = "orchestrator_job_totals"
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["job_type", "status", "shard"], name="total_once"),)

    def __str__(self) -> str:
        """The total in one line."""
        return f"{self.job_type} {self.status}: {self.count}"


class DepthSample(models.Model):
    """The largest number of queued jobs sampled in one half hour."""

    half_hour = models.BigIntegerField(primary_key=True, help_text="half hours since 1970, UTC")
    queued = models.BigIntegerField()

    class Meta:
        """Rows of one day; shown only as a curve."""

        db_table = "orchestrator_queue_depth"
        default_permissions = ()

    def __str__(self) -> str:
        """The sample in one line."""
        return f"{self.half_hour}: {self.queued}"


class RestartReason(models.TextChoices):
    """Why a worker process was replaced; the label completes "worker processes that …"."""

    CRASHED = "crashed", "ended unexpectedly"
    SILENT = "silent", "gave no sign of life"
    NOT_UP = "not_up", "did not start in time"


class WorkerRestart(models.Model):
    """How many worker processes of one host were replaced for one reason within ten minutes."""

    host = models.TextField()
    ten_minutes = models.BigIntegerField(help_text="since 1970, by the database's clock, in units of ten minutes")
    reason = models.TextField(choices=RestartReason.choices)
    count = models.BigIntegerField()
    last_at = models.DateTimeField()
    last_detail = models.TextField(help_text="of the last one, such as its exit code")

    class Meta:
        """Rows of one week; shown with the list of workers."""

        db_table = "orchestrator_worker_restarts"
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["host", "ten_minutes", "reason"], name="restart_count_once"),)

    def __str__(self) -> str:
        """The count in one line."""
        return f"{self.host}: {self.count} {RestartReason(self.reason).label}"
