"""The API of requests for a restore: ask, list, look at one, decline."""

from __future__ import annotations

from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from foundation.strict_input import PageQuery, StrictSerializer, StrictTextField, body_of, query_of
from jobs.rest.api import principal_of
from rehydration import restore_requests
from rehydration.models import RestoreRequest
from rehydration.rest.api import UUID_PATTERN
from rehydration.rest.api_shapes import RestoreRequestShape, RestoreRequestsPage, request_as_dict

TAGS = ["Rehydration"]


class AskForRestore(StrictSerializer):
    """Which bundle should be restored, and why."""

    bundle_id = StrictTextField(pattern=UUID_PATTERN)
    note = StrictTextField(
        required=False, allow_blank=True, default="", max_length=restore_requests.MAX_TEXT_CHARS, help_text="why"
    )


class DeclineRequest(StrictSerializer):
    """Why a request is declined."""

    reason = StrictTextField(max_length=restore_requests.MAX_TEXT_CHARS)


class RestoreRequestsQuery(PageQuery):
    """Filters of the list of requests."""

    state: serializers.ChoiceField = serializers.ChoiceField(
        choices=RestoreRequest.State.choices, required=False, allow_blank=True, default=""
    )


class RestoreRequestsView(APIView):
    """`/rehydrate/requests`."""

    @extend_schema(
        operation_id="list_restore_requests",
        tags=TAGS,
        summary="List requests for a restore, newest first: all for those who may restore, else the caller's own",
        parameters=[RestoreRequestsQuery],
        responses=RestoreRequestsPage,
    )
    def get(self, request: Request) -> Response:
        """One page of requests."""
        found = restore_requests.page(principal_of(request), **query_of(request, RestoreRequestsQuery))
        return Response({"requests": [request_as_dict(one) for one in found.items], "next": found.next or None})

    @extend_schema(
        operation_id="ask_for_restore",
        tags=TAGS,
        summary="Ask an operator to restore a bundle",
        request=AskForRestore,
        responses={
            201: OpenApiResponse(RestoreRequestShape, "A new request."),
            200: OpenApiResponse(RestoreRequestShape, "The caller's open request for this bundle."),
        },
    )
    def post(self, request: Request) -> Response:
        """Ask."""
        asked = restore_requests.ask(principal_of(request), **body_of(request, AskForRestore))
        return Response(
            request_as_dict(asked.request),
            status=201 if asked.created else 200,
            headers={"Location": reverse("api-restore-request", args=[asked.request.request_id])},
        )


class RestoreRequestView(APIView):
    """`/rehydrate/requests/{request_id}`."""

    @extend_schema(
        operation_id="get_restore_request",
        tags=TAGS,
        summary="One request for a restore",
        responses=RestoreRequestShape,
    )
    def get(self, request: Request, request_id: str) -> Response:
        """One request."""
        return Response(request_as_dict(restore_requests.get(principal_of(request), request_id)))


class RestoreRequestDeclineView(APIView):
    """`/rehydrate/requests/{request_id}/decline`."""

    @extend_schema(
        operation_id="decline_restore_request",
        tags=TAGS,
        summary="Decline a request for a restore",
        request=DeclineRequest,
        responses={200: OpenApiResponse(RestoreRequestShape, "The request, declined.")},
    )
    def post(self, request: Request, request_id: str) -> Response:
        """Decline one request."""
        body = body_of(request, DeclineRequest)
        return Response(request_as_dict(restore_requests.decline(principal_of(request), request_id, **body)))
