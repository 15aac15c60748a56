"""What the API of incidents answers: as JSON values, and as a shape for the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from bundles.rest.api_shapes import BundleShape
from bundles.services import as_dict as bundle_as_dict
from incidents.known import IncidentSummary
from jobs.job_json import timestamp


class IncidentShape(serializers.Serializer[Any]):
    """What is known of one incident."""

    incident_id = serializers.CharField()
    bundles = serializers.IntegerField(help_text="bundles made of it here")
    jobs = serializers.IntegerField(help_text="jobs that name it")
    restored_at = serializers.DateTimeField(allow_null=True, help_text="its first restore here; null when never")
    alerts = serializers.IntegerField(help_text="restored here")
    events = serializers.IntegerField(help_text="restored here")
    artifacts = serializers.IntegerField(help_text="restored here")
    last_bundle = BundleShape(allow_null=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "Incident"


class IncidentsPage(serializers.Serializer[Any]):
    """One page of incidents."""

    incidents = IncidentShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="cursor of the next page; null on the last")


def incident_as_dict(incident: IncidentSummary) -> dict[str, Any]:
    """One incident as JSON values."""
    return {
        "incident_id": incident.incident_id,
        "bundles": incident.bundles,
        "jobs": incident.jobs,
        "restored_at": timestamp(incident.restored_at),
        "alerts": incident.alerts,
        "events": incident.events,
        "artifacts": incident.artifacts,
        "last_bundle": bundle_as_dict(incident.last_bundle) if incident.last_bundle else None,
    }
