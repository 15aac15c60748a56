"""The API of the search: `GET /search`."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from foundation.strict_input import StrictSerializer, query_of
from incidents.rest.search_shapes import ElsewhereShape, FoundShape, elsewhere_as_dict, found_as_dict
from incidents.search import elsewhere, search
from incidents.search.question import MAX_LENGTH
from jobs.rest.api import principal_of


class SearchQuery(StrictSerializer):
    """What to search, and how much of it to give."""

    q = serializers.CharField(max_length=MAX_LENGTH, help_text="the search text")
    limit = serializers.IntegerField(
        required=False,
        default=search.SHOWN,
        min_value=1,
        max_value=search.MOST_GROUPS,
        help_text="incidents whose matching rows are given",
    )


class SearchView(APIView):
    """`/search`."""

    @extend_schema(
        operation_id="search",
        tags=["Search"],
        summary="Search incidents, jobs, bundles, artifacts, events and alerts",
        description=(
            "Incidents by any part of their id; jobs and bundles by the first digits of an id or digest; artifacts also"
            " by any part of their name; events and alerts that contain every word of the text, where a word may lack"
            " its end. Kinds that the caller may not see are empty."
        ),
        parameters=[SearchQuery],
        responses=FoundShape,
    )
    def get(self, request: Request) -> Response:
        """What matches, the evidence by incident."""
        principal = principal_of(request)
        principal.require("bundles.view_bundle")
        query = query_of(request, SearchQuery)
        return Response(found_as_dict(search.search(principal, query["q"], limit=query["limit"])))


class ElsewhereView(APIView):
    """`/incidents/{incident_id}/elsewhere`."""

    @extend_schema(
        operation_id="get_incident_elsewhere",
        tags=["Incidents"],
        summary="Hashes and addresses of an incident that other incidents have too",
        description=f"At most {elsewhere.MOST_VALUES}, those in most incidents first.",
        responses=ElsewhereShape,
    )
    def get(self, request: Request, incident_id: str) -> Response:
        """The values, each with how many other incidents have it and the first of these."""
        return Response(elsewhere_as_dict(elsewhere.seen_elsewhere(principal_of(request), incident_id)))
