"""The API of the incidents that the sources list."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from incidents import from_sources
from incidents.from_sources import FromSystem
from jobs.rest.api import principal_of


class ListedShape(serializers.Serializer[Any]):
    """An incident that a system lists."""

    ref = serializers.CharField(help_text="its id there")
    title = serializers.CharField()
    at = serializers.CharField(help_text="when it began or was opened, as the system writes it")
    incident_id = serializers.CharField(allow_null=True, help_text="its id here; null if it is not bundled yet")

    class Meta:
        """Its name in the schema."""

        ref_name = "ListedIncident"


class SystemListingShape(serializers.Serializer[Any]):
    """What one system lists."""

    system = serializers.CharField()
    title = serializers.CharField()
    profiles = serializers.ListField(child=serializers.CharField(), help_text="that use it")
    incidents = ListedShape(many=True)
    unusable = serializers.IntegerField(help_text="how many more have an id that cannot be used here")
    complete = serializers.BooleanField(help_text="false where the system has more than are listed, or did not answer")
    error = serializers.CharField(allow_null=True, help_text="why there is no list")

    class Meta:
        """Its name in the schema."""

        ref_name = "SystemListing"


class ListingsShape(serializers.Serializer[Any]):
    """What the systems list; empty where none of them can."""

    systems = SystemListingShape(many=True)

    class Meta:
        """Its name in the schema."""

        ref_name = "SourceIncidents"


class SourceIncidentsView(APIView):
    """`/sources/incidents`."""

    @extend_schema(
        operation_id="list_source_incidents",
        tags=["Sources"],
        summary="List the incidents that the sources have",
        description="Only systems that can list their incidents are in it. An answer is kept for a minute.",
        responses=ListingsShape,
    )
    def get(self, request: Request) -> Response:
        """The newest incidents of each system."""
        return Response({"systems": [_as_dict(one) for one in from_sources.found(principal_of(request))]})


def _as_dict(one: FromSystem) -> dict[str, Any]:
    return {
        "system": one.listing.system,
        "title": one.listing.title,
        "profiles": list(one.listing.profiles),
        "incidents": [
            {
                "ref": row.listed.ref,
                "title": row.listed.title,
                "at": row.listed.at,
                "incident_id": row.incident_id or None,
            }
            for row in one.incidents
        ],
        "unusable": one.listing.unusable,
        "complete": not (one.listing.cut or one.listing.error),
        "error": one.listing.error or None,
    }
