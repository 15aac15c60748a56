"""What the rehydration API answers, for the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from foundation.instant import rfc3339
from jobs.models import Status
from rehydration.models import RestoreRequest


class RestoreAccepted(serializers.Serializer[Any]):
    """The job that restores a bundle, or plans to."""

    job_id = serializers.UUIDField()
    status: serializers.ChoiceField = serializers.ChoiceField(choices=Status.choices)
    bundle_path = serializers.CharField(help_text="of the file, in OUTPUT_DIR")


class RestoreRequestShape(serializers.Serializer[Any]):
    """A request for a restore."""

    request_id = serializers.UUIDField()
    bundle_id = serializers.UUIDField()
    incident_id = serializers.CharField()
    state: serializers.ChoiceField = serializers.ChoiceField(choices=RestoreRequest.State.choices)
    asked_at = serializers.DateTimeField()
    asked_by = serializers.CharField()
    note = serializers.CharField()
    decided_at = serializers.DateTimeField(allow_null=True)
    decided_by = serializers.CharField()
    reason = serializers.CharField(help_text="why it was declined")


class RestoreRequestsPage(serializers.Serializer[Any]):
    """One page of requests for a restore."""

    requests = RestoreRequestShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="cursor of the next page")


def request_as_dict(request: RestoreRequest) -> dict[str, Any]:
    """A request as the API gives it."""
    return {
        "request_id": str(request.request_id),
        "bundle_id": str(request.bundle_id),
        "incident_id": request.incident_id,
        "state": str(request.state),
        "asked_at": rfc3339(request.asked_at),
        "asked_by": request.asked_by,
        "note": request.note,
        "decided_at": rfc3339(request.decided_at) if request.decided_at else None,
        "decided_by": request.decided_by,
        "reason": request.reason,
    }
