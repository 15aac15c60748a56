"""What the rehydration API answers, for the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs.models import Status


class RestoreAccepted(serializers.Serializer[Any]):
    """The job that restores a bundle, or plans to."""

    job_id = serializers.UUIDField()
    status: serializers.ChoiceField = serializers.ChoiceField(choices=Status.choices)
    bundle_path = serializers.CharField(help_text="of the file, in OUTPUT_DIR")
