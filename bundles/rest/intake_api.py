"""The API of delivered files: take in, list, show, bundle, discard, and the saved mappings of columns."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bundles.errors import InvalidBundleRequestError
from bundles.format.model.paths import INCIDENT_ID_PATTERN
from bundles.intake import incoming, mappings, rereading, services, uploads
from bundles.intake.formats import kinds
from bundles.intake.services import Arrived
from bundles.models import Intake
from bundles.rest.intake_form import FILE_FIELD, IntakeFormParser, PieceParser
from bundles.rest.intake_shapes import (
    IntakeShape,
    IntakesPage,
    MappingShape,
    MappingsShape,
    UploadBegun,
    UploadOffset,
)
from bundles.uploads import resumable
from foundation.strict_input import (
    NoBody,
    PageQuery,
    StrictIntegerField,
    StrictSerializer,
    StrictTextField,
    body_of,
    query_of,
    require_length,
)
from jobs.rest.api import accepted, principal_of
from jobs.rest.api_shapes import JobAccepted
from jobs.rest.fields import idempotency_key_field, priority_field

TAG = ["Import"]
KINDS = [one.name for one in kinds.KINDS]
MAX_PATH_CHARS = 4096
MOST_BYTES = 2**53
REPEATED = "The existing job: of this idempotency key, or an equal one that is still active."
TICKET = OpenApiParameter("Upload-Ticket", str, OpenApiParameter.HEADER, required=True)
AT = OpenApiParameter(
    "Upload-Offset", int, OpenApiParameter.HEADER, required=True, description="where the piece belongs, in bytes"
)


class ColumnsField(serializers.DictField):
    """Ours → the column or field that holds it; `bundles.intake.mappings` checks the names."""

    child = StrictTextField(max_length=mappings.COLUMN_CHARACTERS)


class TakeIn(StrictSerializer):
    """A file on the orchestrator's host."""

    intake_path = StrictTextField(
        max_length=MAX_PATH_CHARS, help_text="a regular file below ORCH_INTAKE_DIR; it is copied"
    )


class IntakeForm(serializers.Serializer[Any]):
    """The file itself; for the schema only."""

    file = serializers.FileField()


class BundleIntake(StrictSerializer):
    """How a delivered file becomes a bundle."""

    incident_id = StrictTextField(pattern=INCIDENT_ID_PATTERN)
    kind = StrictTextField(
        required=False,
        max_length=64,
        help_text="as which its records are read; recognised without it; one of " + ", ".join(KINDS),
    )
    mapping = ColumnsField(required=False, help_text="ours: the column that holds it, of a file that is not understood")
    mapping_name = StrictTextField(
        required=False, pattern=mappings.NAME_PATTERN, help_text="a saved mapping, in the place of `mapping`"
    )
    password = StrictTextField(
        required=False,
        max_length=services.PASSWORD_CHARACTERS,
        help_text="of an encrypted archive; kept until the job ends, and nowhere recorded",
        write_only=True,
    )
    priority = priority_field()
    idempotency_key = idempotency_key_field()


class PreviewIntake(StrictSerializer):
    """How a delivered file is read again for its preview."""

    mapping = ColumnsField(required=False, help_text="as for the bundle")
    password = StrictTextField(
        required=False,
        max_length=services.PASSWORD_CHARACTERS,
        help_text="of an encrypted archive; kept until the job ends, and nowhere recorded",
        write_only=True,
    )


class SaveMapping(StrictSerializer):
    """A mapping of columns."""

    mapping = ColumnsField(help_text="ours: the column that holds it; ours are " + ", ".join(kinds.MAPPED_TO))


class BeginUpload(StrictSerializer):
    """A file that will be sent in pieces."""

    name = StrictTextField(max_length=services.NAME_CHARACTERS)
    size = StrictIntegerField(min_value=0, max_value=MOST_BYTES, help_text="bytes")


class IntakesView(APIView):
    """`/intake`: as JSON with a path, or as a form with the file in it."""

    parser_classes = [*APIView.parser_classes, IntakeFormParser]

    @extend_schema(
        operation_id="list_intakes",
        tags=TAG,
        summary="List delivered files, newest first",
        parameters=[PageQuery],
        responses=IntakesPage,
    )
    def get(self, request: Request) -> Response:
        """One page of delivered files, without their previews."""
        found = services.listed(principal_of(request), **query_of(request, PageQuery))
        return Response({"intakes": [services.in_list(intake) for intake in found.items], "next": found.next or None})

    @extend_schema(
        operation_id="take_file_in",
        tags=TAG,
        summary="Take a file in that is to be imported",
        request={"application/json": TakeIn, "multipart/form-data": IntakeForm},
        responses={201: IntakeShape},
    )
    def post(self, request: Request) -> Response:
        """Store the file and queue its reading for the preview."""
        require_length(request)
        principal = principal_of(request)
        principal.require(services.PERMISSION)
        form: Any = request.data
        arrived = form.get(FILE_FIELD) if isinstance(form, dict) else None
        if not isinstance(arrived, Arrived):
            arrived = incoming.named(body_of(request, TakeIn)["intake_path"])
        return _made(services.receive(principal, arrived))


class IntakeView(APIView):
    """`/intake/{intake_id}`."""

    @extend_schema(
        operation_id="get_intake", tags=TAG, summary="One delivered file, with its preview", responses=IntakeShape
    )
    def get(self, request: Request, intake_id: str) -> Response:
        """A delivered file; `preview` is null until it was read."""
        return Response(services.as_json(services.find(principal_of(request), intake_id)))

    @extend_schema(
        operation_id="discard_intake",
        tags=TAG,
        summary="Remove a delivered file; its bundles stay",
        request=None,
        responses={204: OpenApiResponse(description="removed")},
    )
    def delete(self, request: Request, intake_id: str) -> Response:
        """Remove the file and its password."""
        body_of(request, NoBody)
        services.discard(principal_of(request), intake_id)
        return Response(status=204)


class IntakeBundleView(APIView):
    """`/intake/{intake_id}/bundle`."""

    @extend_schema(
        operation_id="bundle_intake",
        tags=TAG,
        summary="Make a signed bundle of a delivered file",
        request=BundleIntake,
        responses={202: OpenApiResponse(JobAccepted, "A new job."), 200: OpenApiResponse(JobAccepted, REPEATED)},
    )
    def post(self, request: Request, intake_id: str) -> Response:
        """Queue the bundle."""
        principal = principal_of(request)
        principal.require(services.PERMISSION)
        enqueued = services.request_bundle(principal, intake_id, **body_of(request, BundleIntake))
        return accepted(enqueued, incident_id=enqueued.job.incident_id)


class IntakePreviewView(APIView):
    """`/intake/{intake_id}/preview`."""

    @extend_schema(
        operation_id="preview_intake",
        tags=TAG,
        summary="Read a delivered file again for its preview, with chosen columns or a password",
        request=PreviewIntake,
        responses={202: OpenApiResponse(JobAccepted, "A new job.")},
    )
    def post(self, request: Request, intake_id: str) -> Response:
        """Queue the reading; the preview of the newest reading counts."""
        principal = principal_of(request)
        principal.require(services.PERMISSION)
        enqueued = rereading.request(principal, intake_id, **body_of(request, PreviewIntake))
        return accepted(enqueued, incident_id="")


class UploadsView(APIView):
    """`/intake/uploads`: a file in pieces, continued where it stopped."""

    parser_classes = [*APIView.parser_classes, PieceParser]

    @extend_schema(
        operation_id="begin_intake_upload",
        tags=TAG,
        summary="Begin a resumable upload",
        request=BeginUpload,
        responses={201: UploadBegun},
    )
    def post(self, request: Request) -> Response:
        """Its ticket."""
        principal = principal_of(request)
        principal.require(services.PERMISSION)
        body = body_of(request, BeginUpload)
        ticket = resumable.begin(principal, body["name"], body["size"], purpose=resumable.IMPORT)
        return Response({"ticket": ticket, "piece_bytes": resumable.PIECE_BYTES}, status=201)

    @extend_schema(
        operation_id="get_intake_upload",
        tags=TAG,
        summary="How much of an upload was received",
        parameters=[TICKET],
        responses=UploadOffset,
    )
    def get(self, request: Request) -> Response:
        """Where the next piece belongs."""
        principal, ticket = principal_of(request), request.headers.get("Upload-Ticket", "")
        resumable.identity(principal, ticket, resumable.IMPORT)
        return Response({"offset": resumable.offset(principal, ticket)})

    @extend_schema(
        operation_id="add_to_intake_upload",
        tags=TAG,
        summary="Send the next piece of an upload",
        parameters=[TICKET, AT],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses=UploadOffset,
    )
    def put(self, request: Request) -> Response:
        """Add a piece; what was received of an interrupted one is kept."""
        principal, ticket = principal_of(request), request.headers.get("Upload-Ticket", "")
        resumable.identity(principal, ticket, resumable.IMPORT)
        require_length(request)
        at, stream = request.headers.get("Upload-Offset", ""), request.data
        if not (at.isascii() and at.isdigit() and len(at) < 17 and isinstance(stream, dict) and "stream" in stream):
            says = {"Upload-Offset": "where the piece belongs, in bytes; the body is application/octet-stream"}
            raise InvalidBundleRequestError("This is not a piece of an upload.", says)
        return Response({"offset": resumable.append(principal, ticket, int(at), stream["stream"])})


class UploadFinishView(APIView):
    """`/intake/uploads/finish`."""

    @extend_schema(
        operation_id="finish_intake_upload",
        tags=TAG,
        summary="Take a complete upload in; repeating the call gives the same file",
        parameters=[TICKET],
        request=None,
        responses={201: IntakeShape},
    )
    def post(self, request: Request) -> Response:
        """The delivered file."""
        principal = principal_of(request)
        principal.require(services.PERMISSION)
        body_of(request, NoBody)
        return _made(uploads.finish(principal, request.headers.get("Upload-Ticket", "")))


class MappingsView(APIView):
    """`/intake/mappings`."""

    @extend_schema(
        operation_id="list_intake_mappings", tags=TAG, summary="List saved mappings of columns", responses=MappingsShape
    )
    def get(self, request: Request) -> Response:
        """The saved mappings, by name."""
        return Response({"mappings": [mappings.as_json(one) for one in mappings.saved(principal_of(request))]})


class MappingView(APIView):
    """`/intake/mappings/{name}`."""

    @extend_schema(
        operation_id="get_intake_mapping", tags=TAG, summary="A saved mapping of columns", responses=MappingShape
    )
    def get(self, request: Request, name: str) -> Response:
        """One mapping."""
        return Response(mappings.as_json(mappings.get(principal_of(request), name)))

    @extend_schema(
        operation_id="save_intake_mapping",
        tags=TAG,
        summary="Save a mapping of columns, or replace the one of this name",
        request=SaveMapping,
        responses=MappingShape,
    )
    def put(self, request: Request, name: str) -> Response:
        """The mapping as saved."""
        principal = principal_of(request)
        principal.require(mappings.PERMISSION)
        return Response(mappings.as_json(mappings.save(principal, name, body_of(request, SaveMapping)["mapping"])))

    @extend_schema(
        operation_id="delete_intake_mapping",
        tags=TAG,
        summary="Delete a saved mapping; jobs that use it keep theirs",
        request=None,
        responses={204: OpenApiResponse(description="deleted")},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Delete it."""
        body_of(request, NoBody)
        mappings.delete(principal_of(request), name)
        return Response(status=204)


def _made(intake: Intake) -> Response:
    """201 with the delivered file and its address."""
    address = reverse("api-intake", kwargs={"intake_id": intake.intake_id})
    return Response(services.as_json(intake), status=201, headers={"Location": address})
