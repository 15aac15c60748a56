"""The responses of the bundles API, for the OpenAPI schema; a test compares them with `bundles.services.as_dict`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.models import Status


@extend_schema_field(
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "source": {"type": "string"},
                "reason": {"type": "string"},
            },
            "required": ["reason"],
        },
    }
)
class MissingField(serializers.JSONField):
    """What is missing from a bundle, according to its signed manifest."""


_NUMBER = {"type": ["integer", "null"]}


@extend_schema_field(
    {
        "type": ["object", "null"],
        "properties": {
            "events": _NUMBER,
            "alerts": {"type": ["object", "null"], "additionalProperties": {"type": "integer"}},
            "artifacts": _NUMBER,
        },
        "required": ["events", "alerts", "artifacts"],
    }
)
class CountsField(serializers.JSONField):
    """How many events, alerts by severity, and artifacts; null for each that the bundle does not have."""


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "properties": {
                "adapter": {"type": "string"},
                "adapter_version": {"type": "string"},
                "profile": {"type": "string"},
                "system": {"type": "string"},
                "ref": {"type": "string"},
                "severities": {"type": "string"},
                "times": {"type": "object"},
            },
        },
    }
)
class SourcesField(serializers.JSONField):
    """Part: by which adapter and profile it was read, and the incident's id there; empty for restored evidence."""


class BundleShape(serializers.Serializer[Any]):
    """One bundle."""

    bundle_id = serializers.UUIDField()
    incident_id = serializers.CharField()
    path = serializers.CharField(help_text="of the file, in OUTPUT_DIR")
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="bytes of the file")
    sha256 = serializers.CharField(help_text="of the file")
    created_at = serializers.DateTimeField()
    key_id = serializers.CharField(help_text="SHA-256 of the signing key's SubjectPublicKeyInfo")
    signer = serializers.CharField()
    content_digest = serializers.CharField(help_text="equal for equal evidence")
    manifest_hash = serializers.CharField()
    complete = serializers.BooleanField()
    missing = MissingField()
    files = serializers.IntegerField()
    bytes = serializers.IntegerField(help_text="of the files inside")
    compression = serializers.CharField()
    source = serializers.ChoiceField(choices=["live", "restored", "intake"])  # type: ignore[assignment] # taken out of the class
    job_id = serializers.UUIDField(allow_null=True)
    created_by = serializers.CharField()
    state = serializers.ChoiceField(choices=["ready", "lost"])
    verified_at = serializers.DateTimeField(allow_null=True, help_text="the last verification; null before the first")
    verified_ok = serializers.BooleanField(allow_null=True)
    counts = CountsField(allow_null=True, help_text="of its records; null until they were counted")
    sources = SourcesField(help_text="part: by which adapter and profile it was read, as whose incident")

    class Meta:
        """Its name in the schema."""

        ref_name = "Bundle"


class BundlesPage(serializers.Serializer[Any]):
    """One page of bundles."""

    bundles = BundleShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="cursor of the next page; null on the last")


class BundledArtifactShape(serializers.Serializer[Any]):
    """One artifact of a bundle. Kind, host and time are as its record states them, empty where it does not."""

    place = serializers.IntegerField(help_text="index of the file in the manifest's `files`, from 0")
    path = serializers.CharField(help_text="in the bundle")
    artifact_id = serializers.CharField()
    name = serializers.CharField(help_text="the original name, cut after 1,000 characters")
    kind = serializers.CharField()
    host = serializers.CharField()
    collected_at = serializers.CharField()
    faults = serializers.ListField(child=serializers.CharField(), help_text="what its record states to be odd about it")
    size = serializers.IntegerField(help_text="bytes")
    sha256 = serializers.CharField()

    class Meta:
        """Its name in the schema."""

        ref_name = "BundledArtifact"


class BundledArtifactsPage(serializers.Serializer[Any]):
    """One page of a bundle's artifacts."""

    artifacts = BundledArtifactShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="cursor of the next page; null on the last")


class VerificationAccepted(serializers.Serializer[Any]):
    """The job that verifies a bundle."""

    job_id = serializers.UUIDField()
    status: serializers.ChoiceField = serializers.ChoiceField(choices=Status.choices)
    bundle_id = serializers.UUIDField()
