"""What `GET /search` answers: as JSON values, and as a shape for the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from bundles.rest.api_shapes import BundleShape
from bundles.services import as_dict as bundle_as_dict
from bundles.timelines.severities import SEVERITIES
from incidents.search.artifacts import FoundArtifact
from incidents.search.elsewhere import SeenElsewhere
from incidents.search.marking import excerpt_of, pattern_of
from incidents.search.records import FoundRecord
from incidents.search.search import Count, Found, Group
from incidents.timeline.filters import iso_of
from jobs.job_json import as_dict as job_as_dict
from jobs.rest.api_shapes import JobShape


class CountShape(serializers.Serializer[Any]):
    """How many match."""

    number = serializers.IntegerField()
    at_least = serializers.BooleanField(help_text="whether there may be more")

    class Meta:
        """Its name in the schema."""

        ref_name = "MatchCount"


class RecordShape(serializers.Serializer[Any]):
    """A matching event or alert, or the record of an artifact."""

    kind = serializers.ChoiceField(choices=["event", "alert", "artifact"])
    position = serializers.IntegerField(help_text="its place among its kind in the evidence, from 0")
    at = serializers.DateTimeField(allow_null=True, help_text="null if its time cannot be read")
    time = serializers.CharField(help_text="as the record writes it")
    phase = serializers.CharField()
    severity = serializers.ChoiceField(choices=list(SEVERITIES))
    title = serializers.CharField()
    technique = serializers.CharField()
    source = serializers.CharField(help_text="host or address")  # type: ignore[assignment] # taken out of the class
    target = serializers.CharField(help_text="host or address")
    field = serializers.CharField(help_text="the field of the record that has the words; empty if not known")
    excerpt = serializers.CharField(help_text="the part of that field around the words")

    class Meta:
        """Its name in the schema."""

        ref_name = "FoundRecord"


class ArtifactShape(serializers.Serializer[Any]):
    """A matching artifact."""

    artifact_id = serializers.CharField()
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="bytes")
    sha256 = serializers.CharField(help_text="empty for a record without a file")
    matched = serializers.ChoiceField(choices=["name", "digest", "id"])
    bundle_id = serializers.UUIDField(
        allow_null=True, help_text="a bundle that has it, the newest that it can be downloaded from"
    )
    path = serializers.CharField(allow_null=True, help_text="in that bundle")
    restored = serializers.BooleanField(help_text="whether it was restored here")

    class Meta:
        """Its name in the schema."""

        ref_name = "FoundArtifact"


class GroupShape(serializers.Serializer[Any]):
    """What matches in the evidence of one incident: how many, and the first of each kind."""

    incident_id = serializers.CharField()
    origin = serializers.CharField(help_text="bundle or restored, where events and alerts were read; empty without any")
    events = CountShape()
    alerts = CountShape()
    artifacts = CountShape()
    records = RecordShape(many=True)
    files = ArtifactShape(many=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "FoundInIncident"


class FoundShape(serializers.Serializer[Any]):
    """What a search found."""

    incidents = serializers.ListField(child=serializers.CharField(), help_text="ids that contain the text")
    jobs = JobShape(many=True)
    bundles = BundleShape(many=True)
    evidence = GroupShape(many=True)
    other_incidents = serializers.ListField(
        child=serializers.CharField(), help_text="further incidents whose evidence matches"
    )
    complete = serializers.BooleanField(help_text="whether all incidents whose evidence matches are named")

    class Meta:
        """Its name in the schema."""

        ref_name = "SearchResult"


class ElsewhereValueShape(serializers.Serializer[Any]):
    """A value that other incidents have too."""

    value = serializers.CharField(help_text="a hash in lower case, or an address")
    kind = serializers.CharField(help_text="hash or address")
    incidents = serializers.IntegerField(help_text="how many other incidents have it")
    first = serializers.ListField(child=serializers.CharField(), help_text="ids of the first of them")

    class Meta:
        """Its name in the schema."""

        ref_name = "ElsewhereValue"


class ElsewhereShape(serializers.Serializer[Any]):
    """What other incidents have too."""

    elsewhere = ElsewhereValueShape(many=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "Elsewhere"


def found_as_dict(found: Found) -> dict[str, Any]:
    """The result of a search as JSON values."""
    return {
        "incidents": list(found.named.incidents),
        "jobs": [job_as_dict(job) for job in found.named.jobs],
        "bundles": [bundle_as_dict(bundle) for bundle in found.named.bundles],
        "evidence": [_group(group, found.question.text) for group in found.groups],
        "other_incidents": list(found.others),
        "complete": found.is_complete,
    }


def _group(group: Group, text: str) -> dict[str, Any]:
    return {
        "incident_id": group.incident_id,
        "origin": group.origin,
        "events": _count(group.events),
        "alerts": _count(group.alerts),
        "artifacts": _count(group.artifacts),
        "records": [_record(record, text) for record in group.records],
        "files": [_artifact(file) for file in group.files],
    }


def _count(count: Count) -> dict[str, Any]:
    return {"number": count.number, "at_least": count.at_least}


def _record(record: FoundRecord, text: str) -> dict[str, Any]:
    excerpt = excerpt_of(record.record, pattern_of(text))
    return {
        "kind": record.kind,
        "position": record.position,
        "at": iso_of(record.at_us) or None,
        "time": record.time,
        "phase": record.phase,
        "severity": SEVERITIES[record.severity],
        "title": record.what,
        "technique": record.technique,
        "source": record.source,
        "target": record.target,
        "field": excerpt.field if excerpt else "",
        "excerpt": excerpt.text if excerpt else "",
    }


def _artifact(file: FoundArtifact) -> dict[str, Any]:
    return {
        "artifact_id": file.artifact_id,
        "name": file.name,
        "size": file.size,
        "sha256": file.sha256,
        "matched": file.matched,
        "bundle_id": str(file.bundled.bundle.bundle_id) if file.bundled else None,
        "path": file.bundled.path if file.bundled else None,
        "restored": file.is_restored,
    }


def elsewhere_as_dict(found: list[SeenElsewhere]) -> dict[str, Any]:
    """What other incidents have too, as JSON values."""
    values = [
        {"value": one.value, "kind": one.kind, "incidents": one.incidents, "first": list(one.first)} for one in found
    ]
    return {"elsewhere": values}
