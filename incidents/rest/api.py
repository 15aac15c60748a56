"""The API of incidents: list them, and look at one. Each method parses, calls a service, translates."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bundles.format.model.paths import MAX_INCIDENT_ID
from foundation.strict_input import PageQuery, query_of
from incidents import services
from incidents.rest.api_shapes import IncidentShape, IncidentsPage, incident_as_dict
from jobs.rest.api import principal_of


class IncidentsQuery(PageQuery):
    """Filters of the list of incidents."""

    search = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=MAX_INCIDENT_ID, help_text="only ids that contain this"
    )


class IncidentsView(APIView):
    """`/incidents`."""

    @extend_schema(
        operation_id="list_incidents",
        tags=["Incidents"],
        summary="List incidents by id",
        parameters=[IncidentsQuery],
        responses=IncidentsPage,
    )
    def get(self, request: Request) -> Response:
        """One page of incidents."""
        found = services.incidents(principal_of(request), **query_of(request, IncidentsQuery))
        return Response({"incidents": [incident_as_dict(item) for item in found.items], "next": found.next or None})


class IncidentView(APIView):
    """`/incidents/{incident_id}`."""

    @extend_schema(operation_id="get_incident", tags=["Incidents"], summary="One incident", responses=IncidentShape)
    def get(self, request: Request, incident_id: str) -> Response:
        """One incident."""
        return Response(incident_as_dict(services.incident(principal_of(request), incident_id)))
