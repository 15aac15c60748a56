"""The answers of the jobs API for the OpenAPI schema. `jobs.job_json` makes the answers; a test compares both."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.models import Status


@extend_schema_field(
    {
        "type": "object",
        "description": "Empty before the first report.",
        "properties": {
            "phase": {"type": "string"},
            "done": {"type": "integer"},
            "total": {"type": ["integer", "null"]},
            "unit": {"type": "string", "enum": ["bytes", "records"]},
            "share": {"type": "number", "description": "done part of the phase, 0 to 1; never falls within an attempt"},
            "rate": {"type": ["number", "null"], "description": "units a second"},
            "updated_at": {"type": "string", "format": "date-time"},
            "note": {"type": "string"},
            "phases_s": {
                "type": "object",
                "additionalProperties": {"type": "number"},
                "description": "when each phase of this attempt began, in seconds after the attempt",
            },
            "fetched": {"type": "integer", "description": "bytes received from the sources, while fetching"},
        },
    }
)
class ProgressField(serializers.JSONField):
    """How far a job has come within its phase."""


@extend_schema_field({"type": ["object", "null"], "description": "Its fields depend on job_type."})
class ResultField(serializers.JSONField):
    """A job's result."""


class JobShape(serializers.Serializer[Any]):
    """One job."""

    job_id = serializers.UUIDField()
    job_type = serializers.CharField(help_text="`bundle_create`, `bundle_verify`, `upload_verify` or `rehydrate`")
    status: serializers.ChoiceField = serializers.ChoiceField(choices=Status.choices)
    priority = serializers.IntegerField()
    incident_id = serializers.CharField(allow_null=True)
    requested_by = serializers.CharField()
    progress = ProgressField()
    phases = serializers.ListField(child=serializers.CharField())
    attempts = serializers.IntegerField(help_text="attempts in all")
    retry_count = serializers.IntegerField(help_text="failed attempts since a person last queued it")
    max_retries = serializers.IntegerField(help_text="attempts before it fails: 3 means three attempts in all")
    cancel_requested = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    run_after = serializers.DateTimeField()
    waits_for = serializers.CharField(
        allow_null=True, help_text="the dependency that a queued job waits for, such as `sources`"
    )
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    error_message = serializers.CharField(allow_null=True)
    result = ResultField(allow_null=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "Job"


class JobsPage(serializers.Serializer[Any]):
    """One page of jobs."""

    jobs = JobShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="cursor of the next page; null on the last")


class JobAccepted(serializers.Serializer[Any]):
    """The job that answers a request for work."""

    job_id = serializers.UUIDField()
    status: serializers.ChoiceField = serializers.ChoiceField(choices=Status.choices)
    incident_id = serializers.CharField()
