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
    source = serializers.ChoiceField(choices=["live", "restored"])  # type: ignore[assignment] # taken out of the class
    job_id = serializers.UUIDField(allow_null=True)
    created_by = serializers.CharField()
    state = serializers.ChoiceField(choices=["ready", "lost"])
    verified_at = serializers.DateTimeField(allow_null=True, help_text="the last verification; null before the first")
    verified_ok = serializers.BooleanField(allow_null=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "Bundle"


class BundlesPage(serializers.Serializer[Any]):
    """One page of bundles."""

    bundles = BundleShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="cursor of the next page; null on the last")


class VerificationAccepted(serializers.Serializer[Any]):
    """The job that verifies a bundle."""

    job_id = serializers.UUIDField()
    status: serializers.ChoiceField = serializers.ChoiceField(choices=Status.choices)
    bundle_id = serializers.UUIDField()
