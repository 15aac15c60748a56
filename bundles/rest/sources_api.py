"""The API of sources: the profiles, and what their systems have of an incident. Each method calls a service."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bundles import services
from bundles.format.model.paths import INCIDENT_ID_PATTERN
from bundles.rest.source_fields import profile_field, refs_field
from bundles.sources import configured
from foundation.strict_input import StrictSerializer, StrictTextField, body_of
from jobs.rest.api import principal_of

TAG = ["Sources"]
PARTS = ["timeline", "alerts", "artifacts"]


class CheckSources(StrictSerializer):
    """Which incident the systems are asked for."""

    incident_id = StrictTextField(pattern=INCIDENT_ID_PATTERN)
    profile = profile_field()
    refs = refs_field()


class ErrorShape(serializers.Serializer[Any]):
    """Why a system cannot be asked."""

    code = serializers.CharField(help_text="as a job that fails would have it")
    message = serializers.CharField()

    class Meta:
        """Its name in the schema."""

        ref_name = "SourceError"


class PartCheckShape(serializers.Serializer[Any]):
    """What a system has of one part; system, adapter, url and ref are null where the profile names none."""

    part = serializers.ChoiceField(choices=PARTS)
    system = serializers.CharField(allow_null=True)
    adapter = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)
    ref = serializers.CharField(allow_null=True, help_text="the incident's id there")
    ok = serializers.BooleanField(help_text="it can be fetched")
    records = serializers.IntegerField(allow_null=True, help_text="null if the system does not say how many")
    size_bytes = serializers.IntegerField(allow_null=True, help_text="of the artifacts' contents")
    detail = serializers.CharField(help_text="what is not fetched, or not known yet")
    error = ErrorShape(allow_null=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "SourceCheckPart"


class CheckedShape(serializers.Serializer[Any]):
    """What the systems of a profile have of an incident."""

    profile = serializers.CharField()
    incident_id = serializers.CharField()
    ok = serializers.BooleanField(help_text="every part that the profile names can be fetched")
    parts = PartCheckShape(many=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "SourceCheck"


class ProfilePartShape(serializers.Serializer[Any]):
    """Where a part is read."""

    part = serializers.ChoiceField(choices=PARTS)
    system = serializers.CharField(help_text="as refs name it")
    adapter = serializers.CharField()

    class Meta:
        """Its name in the schema."""

        ref_name = "SourceProfilePart"


class ProfileShape(serializers.Serializer[Any]):
    """A source profile."""

    name = serializers.CharField()
    title = serializers.CharField()
    default = serializers.BooleanField(help_text="it is used by a request that names none")
    parts = ProfilePartShape(many=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "SourceProfile"


class ProfilesShape(serializers.Serializer[Any]):
    """The source profiles in force."""

    profiles = ProfileShape(many=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "SourceProfiles"


class ProfilesView(APIView):
    """`/sources`."""

    @extend_schema(
        operation_id="list_source_profiles", tags=TAG, summary="List the source profiles", responses=ProfilesShape
    )
    def get(self, request: Request) -> Response:
        """The profiles, without addresses and credentials."""
        principal_of(request).require("bundles.view_bundle")
        known = configured.current()
        profiles = [
            {
                "name": profile.name,
                "title": profile.title,
                "default": profile.name == known.default,
                "parts": [
                    {"part": part.key, "system": system.name, "adapter": system.adapter}
                    for part, system in profile.systems.items()
                ],
            }
            for profile in known.profiles.values()
        ]
        return Response({"profiles": profiles})


class CheckView(APIView):
    """`/sources/check`."""

    @extend_schema(
        operation_id="check_sources",
        tags=TAG,
        summary="Ask what the sources have of an incident, without fetching it",
        request=CheckSources,
        responses=CheckedShape,
    )
    def post(self, request: Request) -> Response:
        """What every system of the profile has; a system that cannot be asked is named with its error."""
        body = body_of(request, CheckSources)
        return Response(services.check_sources(principal_of(request), **body).as_dict())
