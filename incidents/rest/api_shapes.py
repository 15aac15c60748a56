"""What the API of incidents answers: as JSON values, and as a shape for the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from bundles.models import IndexedRecord
from bundles.rest.api_shapes import BundleShape
from bundles.services import as_dict as bundle_as_dict
from bundles.timelines.severities import SEVERITIES
from bundles.timelines.times import UNDATED
from incidents.known import IncidentSummary
from incidents.summary import IncidentView
from incidents.timeline.filters import iso_of
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


class RecordShape(serializers.Serializer[Any]):
    """One event, alert or artifact as it is indexed."""

    kind = serializers.ChoiceField(choices=["event", "alert", "artifact"])
    position = serializers.IntegerField(help_text="place among its kind in the evidence, from 0")
    at = serializers.CharField(allow_null=True, help_text="UTC, RFC 3339; null if its time cannot be read")
    time = serializers.CharField(help_text="as recorded")
    phase = serializers.CharField(help_text="empty if the record names none")
    severity = serializers.ChoiceField(choices=SEVERITIES)
    rated = serializers.CharField(help_text="the severity as the source writes it")
    what = serializers.CharField()
    technique = serializers.CharField()
    hosts = serializers.ListField(child=serializers.CharField())
    accounts = serializers.ListField(child=serializers.CharField())
    record = serializers.CharField(help_text="its canonical JSON as text, cut at 32,768 characters")

    class Meta:
        """Its name in the schema."""

        ref_name = "Record"


class RecordsPage(serializers.Serializer[Any]):
    """One page of records."""

    records = RecordShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="cursor of the next page; null on the last")


class FactsShape(serializers.Serializer[Any]):
    """What an incident's records say together; empty if no record is indexed."""

    origin = serializers.CharField(help_text="bundle or restored; empty without evidence")
    records = serializers.IntegerField(help_text="how many are indexed")
    facts = serializers.DictField(
        help_text="severities, hosts, accounts, techniques, first, last, first_critical, impact"
    )


class ViewShape(serializers.Serializer[Any]):
    """A saved view."""

    name = serializers.CharField()
    query = serializers.CharField()


class ViewsShape(serializers.Serializer[Any]):
    """One's own views."""

    views = ViewShape(many=True)


def record_as_dict(record: IndexedRecord) -> dict[str, Any]:
    """One record as JSON values."""
    return {
        "kind": record.kind,
        "position": record.position,
        "at": None if record.at_us == UNDATED else iso_of(record.at_us),
        "time": record.time,
        "phase": record.phase,
        "severity": SEVERITIES[record.severity],
        "rated": record.rated,
        "what": record.what,
        "technique": record.technique,
        "hosts": record.hosts,
        "accounts": record.accounts,
        "record": record.record,
    }


def facts_as_dict(view: IncidentView) -> dict[str, Any]:
    """The facts of an incident as JSON values."""
    kept = view.kept
    return {"origin": view.origin, "records": kept.kept if kept else 0, "facts": kept.facts if kept else {}}
