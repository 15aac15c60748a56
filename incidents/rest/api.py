"""The API of incidents: list them, read one, its facts and records; one's own views. Each method calls a service."""

from __future__ import annotations

from typing import Any

from django.http import JsonResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bundles.format.model.paths import MAX_INCIDENT_ID
from foundation.strict_input import NoBody, PageQuery, StrictSerializer, body_of, query_of
from incidents import attack, saved_views, services
from incidents.models import SavedView
from incidents.rest.api_shapes import (
    FactsShape,
    IncidentShape,
    IncidentsPage,
    RecordsPage,
    ViewShape,
    ViewsShape,
    facts_as_dict,
    incident_as_dict,
    record_as_dict,
)
from incidents.timeline.filters import EVERYTHING, KINDS, SEVERITY_CHOICES, FilterForm
from jobs.rest.api import principal_of

TAG = ["Incidents"]
ORIGINS = ("", "bundle", "restored")


class IncidentsQuery(PageQuery):
    """Filters of the list of incidents."""

    search = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=MAX_INCIDENT_ID, help_text="only ids that contain this"
    )


class OriginQuery(StrictSerializer):
    """Which evidence of an incident is meant."""

    origin = serializers.ChoiceField(
        choices=ORIGINS, required=False, default="", help_text="bundle or restored; the better one without it"
    )


class RecordsQuery(PageQuery, OriginQuery):
    """Filters of an incident's records; see the page of an incident."""

    kind = serializers.ChoiceField(choices=list(KINDS), required=False, default=EVERYTHING)
    text = serializers.CharField(required=False, default="", help_text="words that the record contains")
    phase = serializers.CharField(required=False, default="", help_text="a tactic such as credential-access")
    severity = serializers.ChoiceField(choices=[name for name, _ in SEVERITY_CHOICES], required=False, default="")
    technique = serializers.CharField(required=False, default="", help_text="an id such as T1021.002")
    host = serializers.CharField(required=False, default="")
    account = serializers.CharField(required=False, default="")

    def get_fields(self) -> dict[str, Any]:
        """Add the two whose names are words of Python."""
        times = {name: serializers.CharField(required=False, default="") for name in ("from", "to")}
        return {**super().get_fields(), **times}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Read the filter as the page does; a field that it cannot read is named."""
        form = FilterForm(attrs)
        if not form.is_valid():
            raise serializers.ValidationError(
                {name: [str(error) for error in errors] for name, errors in form.errors.items()}
            )
        return {**attrs, "filter": form.filter()}


class ViewBody(StrictSerializer):
    """A view to keep."""

    name = serializers.CharField(max_length=saved_views.LONGEST_NAME)
    query = serializers.CharField(
        allow_blank=True, max_length=2000, help_text="of an incident's address, such as ?kind=alert&severity=high%2B"
    )


class IncidentsView(APIView):
    """`/incidents`."""

    @extend_schema(
        operation_id="list_incidents",
        tags=TAG,
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

    @extend_schema(operation_id="get_incident", tags=TAG, summary="One incident", responses=IncidentShape)
    def get(self, request: Request, incident_id: str) -> Response:
        """One incident."""
        return Response(incident_as_dict(services.incident(principal_of(request), incident_id)))


class FactsView(APIView):
    """`/incidents/{incident_id}/facts`."""

    @extend_schema(
        operation_id="get_incident_facts",
        tags=TAG,
        summary="What an incident's records say together",
        parameters=[OriginQuery],
        responses=FactsShape,
    )
    def get(self, request: Request, incident_id: str) -> Response:
        """First and last records, hosts, accounts, techniques, counts."""
        query = query_of(request, OriginQuery)
        return Response(facts_as_dict(services.view(principal_of(request), incident_id, query["origin"])))


class RecordsView(APIView):
    """`/incidents/{incident_id}/records`."""

    @extend_schema(
        operation_id="list_incident_records",
        tags=TAG,
        summary="Events, alerts and artifacts of an incident, oldest first",
        parameters=[RecordsQuery],
        responses=RecordsPage,
    )
    def get(self, request: Request, incident_id: str) -> Response:
        """One page of records; those without a time come last."""
        query = query_of(request, RecordsQuery)
        found = services.records(
            principal_of(request),
            incident_id,
            query["filter"],
            kind=query["kind"],
            origin=query["origin"],
            cursor=query["cursor"],
            limit=query["limit"],
        )
        return Response({"records": [record_as_dict(item) for item in found.items], "next": found.next or None})


class AttackLayerView(APIView):
    """`/incidents/{incident_id}/attack-layer`."""

    @extend_schema(
        operation_id="get_attack_layer",
        tags=TAG,
        summary="An incident's techniques as an ATT&CK Navigator layer",
        parameters=[OriginQuery],
        responses=OpenApiResponse(description="a layer in format 4.5"),
    )
    def get(self, request: Request, incident_id: str) -> JsonResponse:
        """The layer."""
        query = query_of(request, OriginQuery)
        return JsonResponse(attack.layer(services.view(principal_of(request), incident_id, query["origin"])))


class ViewsView(APIView):
    """`/views`."""

    @extend_schema(operation_id="list_views", tags=TAG, summary="One's own saved views", responses=ViewsShape)
    def get(self, request: Request) -> Response:
        """Each view with its name and query."""
        return Response({"views": [_view(kept) for kept in saved_views.of(principal_of(request))]})

    @extend_schema(
        operation_id="save_view", tags=TAG, summary="Save a filter under a name", request=ViewBody, responses=ViewShape
    )
    def post(self, request: Request) -> Response:
        """Keep a view; one of the same name is replaced."""
        body = body_of(request, ViewBody)
        return Response(_view(saved_views.save(principal_of(request), body["name"], body["query"])))


class ViewView(APIView):
    """`/views/{name}`."""

    @extend_schema(
        operation_id="delete_view",
        tags=TAG,
        summary="Delete a saved view",
        request=None,
        responses={204: OpenApiResponse(description="deleted")},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Delete one of one's own views."""
        body_of(request, NoBody)
        saved_views.delete(principal_of(request), name)
        return Response(status=204)


def _view(kept: SavedView) -> dict[str, str]:
    return {"name": kept.name, "query": kept.query}
