"""The responses of the intake API, for the OpenAPI schema; a test compares them with `bundles.intake.services`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from bundles.models import Intake


@extend_schema_field({"type": ["object", "null"], "additionalProperties": True})
class PreviewField(serializers.JSONField):
    """What an import would do; see docs/import.md."""


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class MappingField(serializers.JSONField):
    """Ours → the column or field that holds it."""


class IntakeShape(serializers.Serializer[Any]):
    """A delivered file."""

    intake_id = serializers.UUIDField()
    name = serializers.CharField(help_text="as it was delivered")
    size = serializers.IntegerField(help_text="bytes")
    sha256 = serializers.CharField()
    received_at = serializers.DateTimeField()
    received_by = serializers.CharField()
    state: serializers.ChoiceField = serializers.ChoiceField(choices=Intake.State.choices)
    preview = PreviewField(allow_null=True, help_text="what an import would do; null until the file was read")
    preview_job_id = serializers.UUIDField(allow_null=True, help_text="the job that reads it for the preview")
    job_id = serializers.UUIDField(allow_null=True, help_text="the newest job that makes its bundle")
    bundle_id = serializers.UUIDField(allow_null=True, help_text="its newest bundle")

    class Meta:
        """Its name in the schema."""

        ref_name = "Intake"


class ListedIntakeShape(IntakeShape):
    """A delivered file in a list, which has no previews."""

    preview = None  # type: ignore[assignment] # takes the field out

    class Meta:
        """Its name in the schema."""

        ref_name = "ListedIntake"


class IntakesPage(serializers.Serializer[Any]):
    """One page of delivered files."""

    intakes = ListedIntakeShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="cursor of the next page; null on the last")


class MappingShape(serializers.Serializer[Any]):
    """A mapping of columns, saved under a name."""

    name = serializers.CharField()
    mapping = MappingField()
    saved_at = serializers.DateTimeField()
    saved_by = serializers.CharField()

    class Meta:
        """Its name in the schema."""

        ref_name = "IntakeMapping"


class MappingsShape(serializers.Serializer[Any]):
    """The saved mappings."""

    mappings = MappingShape(many=True)


class UploadBegun(serializers.Serializer[Any]):
    """A resumable upload that began."""

    ticket = serializers.CharField(help_text="sent as Upload-Ticket; valid for a week, for this caller only")
    piece_bytes = serializers.IntegerField(help_text="largest piece, in bytes")


class UploadOffset(serializers.Serializer[Any]):
    """How much of an upload was received."""

    offset = serializers.IntegerField(help_text="bytes received; where the next piece belongs")
