"""The rehydration API: start a restore."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bundles.storage import bundle_files
from bundles.uploads.quarantine import Upload
from foundation.principal import Principal
from foundation.strict_input import StrictTextField, body_of, require_length
from jobs.rest.api import accepted_job, principal_of
from rehydration import services
from rehydration.rest.api_shapes import RestoreAccepted
from rehydration.rest.upload_form import FILE_FIELD, RestoreOptions, UploadFormParser, discard
from rehydration.services import RestoreRequested

MAX_PATH_CHARS = 4096
UUID_PATTERN = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


class StartRestore(RestoreOptions):
    """Which bundle to restore, by path or by id, and how."""

    bundle_path = StrictTextField(
        required=False, max_length=MAX_PATH_CHARS, help_text="in OUTPUT_DIR; this or bundle_id"
    )
    bundle_id = StrictTextField(required=False, pattern=UUID_PATTERN, help_text="this or bundle_path")


class UploadForm(RestoreOptions):
    """The same with the bundle itself; for the schema only."""

    bundle_file = serializers.FileField()


class RehydrateStartView(APIView):
    """`/rehydrate/start`: as JSON, or as a form with the bundle in it."""

    parser_classes = [*APIView.parser_classes, UploadFormParser]

    @extend_schema(
        operation_id="start_rehydration",
        tags=["Rehydration"],
        summary="Restore a bundle, or plan to",
        request={"application/json": StartRestore, "multipart/form-data": UploadForm},
        responses={
            202: OpenApiResponse(RestoreAccepted, "A new job."),
            200: OpenApiResponse(RestoreAccepted, "The job that was there already."),
        },
    )
    def post(self, request: Request) -> Response:
        """Queue a restore."""
        require_length(request)
        principal = principal_of(request)
        form: Any = request.data
        if isinstance(form.get(FILE_FIELD), Upload):
            options = {name: value for name, value in form.items() if name != FILE_FIELD}
            requested = _restore_upload(principal, form[FILE_FIELD], options)
        else:
            requested = _restore(principal, body_of(request, StartRestore))
        path = (
            bundle_files.output_dir() / requested.job.payload["bundle_path"]
        )  # the job's, which a repeat did not make
        return accepted_job(requested.job, created=requested.created, bundle_path=str(path))


def _restore(principal: Principal, body: dict[str, Any]) -> RestoreRequested:
    key = body.pop("idempotency_key", "")
    return services.request_restore(principal, idempotency_key=key, request_body=dict(body), **body)


def _restore_upload(principal: Principal, upload: Upload, options: dict[str, Any]) -> RestoreRequested:
    """Restore an upload; for its idempotency key the same bytes count as the same request."""
    key = options.pop("idempotency_key", "")
    body = {**options, "bundle_sha256": upload.sha256}
    try:
        requested = services.request_restore(
            principal, bundle_path=upload.path, idempotency_key=key, request_body=body, **options
        )
    except Exception:
        discard(principal, upload, "the request was refused")
        raise
    if not requested.created:
        discard(principal, upload, "the same request was made before")
    return requested
