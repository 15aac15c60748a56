"""The API of bundles: create, list, verify, download. Each method parses the request and calls a service."""

from __future__ import annotations

import base64
from typing import Literal

from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bundles import manifest_files, services
from bundles.artifacts import contents, single_files
from bundles.errors import FileNotAsSignedError, FileNotListedError
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.limits import DEFAULT_CHUNK_MIB, MAX_CHUNK_MIB
from bundles.format.model.paths import INCIDENT_ID_PATTERN, MAX_INCIDENT_ID
from bundles.rest.api_shapes import BundledArtifactsPage, BundleShape, BundlesPage, VerificationAccepted
from bundles.rest.source_fields import profile_field, refs_field
from foundation import byte_ranges
from foundation.strict_input import (
    PageQuery,
    StrictBooleanField,
    StrictChoiceField,
    StrictIntegerField,
    StrictSerializer,
    StrictTextField,
    body_of,
    query_of,
)
from jobs.rest.api import accepted, principal_of
from jobs.rest.api_shapes import JobAccepted
from jobs.rest.fields import idempotency_key_field, priority_field

TAG = ["Bundles"]
MEDIA_TYPES = {".zst": "application/zstd", ".gz": "application/gzip"}
REPEATED = "The existing job: of this idempotency key, or an equal one that is still active."
DOWNLOAD_HEADERS = [
    OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="one range of bytes"),
    OpenApiParameter("If-Range", str, OpenApiParameter.HEADER, description="the ETag the range belongs to"),
    OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER),
    OpenApiParameter("If-Match", str, OpenApiParameter.HEADER),
]


class CreateBundle(StrictSerializer):
    """The parameters of a new bundle."""

    incident_id = StrictTextField(pattern=INCIDENT_ID_PATTERN)
    priority = priority_field()
    chunk_size_mb = StrictIntegerField(
        required=False,
        default=DEFAULT_CHUNK_MIB,
        min_value=1,
        max_value=MAX_CHUNK_MIB,
        help_text="files larger than this many MiB also get a hash for each chunk",
    )
    idempotency_key = idempotency_key_field()
    allow_partial = StrictBooleanField(
        required=False, default=False, help_text="make a partial bundle that lists what is missing instead of failing"
    )
    source = StrictChoiceField(  # type: ignore[assignment] # the metaclass takes fields out of the class
        choices=services.SOURCES,
        required=False,
        default="live",
        help_text="the upstream services, or the evidence restored here",
    )
    profile = profile_field()
    refs = refs_field()


class VerifyBundle(StrictSerializer):
    """The parameters of a verification."""

    idempotency_key = idempotency_key_field()


class BundlesQuery(PageQuery):
    """Filters of the list of bundles; an empty one filters nothing."""

    incident_id = serializers.CharField(required=False, allow_blank=True, default="", max_length=MAX_INCIDENT_ID)
    verdict = serializers.ChoiceField(
        choices=list(services.VERDICTS),
        required=False,
        allow_blank=True,
        default="",
        help_text="unread: bundles whose records the search does not know yet",
    )


class BundledArtifactsQuery(PageQuery):
    """Filters of the artifacts of a bundle; an empty one filters nothing."""

    text = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=1000, help_text="in the path, name, kind or host"
    )
    kind = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)
    host = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)


class BundleCreateView(APIView):
    """`/bundle/create`."""

    @extend_schema(
        operation_id="create_bundle",
        tags=TAG,
        summary="Bundle an incident",
        request=CreateBundle,
        responses={202: OpenApiResponse(JobAccepted, "A new job."), 200: OpenApiResponse(JobAccepted, REPEATED)},
    )
    def post(self, request: Request) -> Response:
        """Queue a bundle."""
        body = body_of(request, CreateBundle)
        key = body.pop("idempotency_key", "")
        enqueued = services.request_bundle(principal_of(request), idempotency_key=key, request_body=dict(body), **body)
        return accepted(enqueued, incident_id=enqueued.job.incident_id)


class BundlesView(APIView):
    """`/bundles`."""

    @extend_schema(
        operation_id="list_bundles",
        tags=TAG,
        summary="List bundles, newest first",
        parameters=[BundlesQuery],
        responses=BundlesPage,
    )
    def get(self, request: Request) -> Response:
        """One page of bundles."""
        found = services.page(principal_of(request), **query_of(request, BundlesQuery))
        return Response({"bundles": [services.as_dict(bundle) for bundle in found.items], "next": found.next or None})


class BundleView(APIView):
    """`/bundles/{bundle_id}`."""

    @extend_schema(operation_id="get_bundle", tags=TAG, summary="One bundle", responses=BundleShape)
    def get(self, request: Request, bundle_id: str) -> Response:
        """One bundle."""
        return Response(services.as_dict(services.get(principal_of(request), bundle_id)))


class BundleManifestView(APIView):
    """`/bundles/{bundle_id}/manifest`."""

    @extend_schema(
        operation_id="get_bundle_manifest",
        tags=TAG,
        summary="The manifest, exactly the bytes that are signed",
        responses={(200, "application/json"): OpenApiTypes.OBJECT},
    )
    def get(self, request: Request, bundle_id: str) -> HttpResponse:
        """The manifest."""
        manifest = services.manifest_of(principal_of(request), bundle_id)
        return HttpResponse(manifest, content_type="application/json")


class BundleArtifactsView(APIView):
    """`/bundles/{bundle_id}/artifacts`."""

    @extend_schema(
        operation_id="list_bundle_artifacts",
        tags=TAG,
        summary="List the artifacts of a bundle",
        parameters=[BundledArtifactsQuery],
        responses=BundledArtifactsPage,
    )
    def get(self, request: Request, bundle_id: str) -> Response:
        """One page of a bundle's artifacts, in the order of its manifest."""
        bundle = services.get(principal_of(request), bundle_id)
        found = contents.walk_page(bundle, **query_of(request, BundledArtifactsQuery))
        listed = [contents.as_dict(artifact) for artifact in found.items]
        return Response({"artifacts": listed, "next": found.next or None})


class BundleFileView(APIView):
    """`/bundles/{bundle_id}/files/{place}`: one file of a bundle."""

    @extend_schema(
        operation_id="download_bundle_file",
        tags=TAG,
        summary="Download one file of a bundle",
        description="`place` is the file's index in the manifest's `files`, from 0. The file is compared with its"
        " signed digests first; if it differs, nothing of it is sent. Files of more than 1 GiB are refused.",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, bundle_id: str, place: int) -> HttpResponseBase:
        """The file; every request is recorded in custody."""
        try:
            opened = single_files.open_file(principal_of(request), bundle_id, place)
        except BundleRejectedError as error:
            raise FileNotAsSignedError(f"{error.detail} Nothing was sent ({error.code}).") from error
        response = FileResponse(
            opened.file, as_attachment=True, filename=opened.name, content_type="application/octet-stream"
        )
        response["Content-Length"] = str(opened.size)
        return _with_headers(response, opened.sha256, f'"{opened.sha256}"', ranges="none")

    @extend_schema(exclude=True)
    def head(self, request: Request, bundle_id: str, place: int) -> HttpResponseBase:
        """The headers of the file as the manifest states them; the file is not read."""
        principal = principal_of(request)
        principal.require("bundles.download_bundle")
        entry = manifest_files.file_at(services.get(principal, bundle_id), place)
        if entry is None:
            raise FileNotListedError("The bundle's manifest lists no such file.")
        response = HttpResponse(content_type="application/octet-stream")
        response["Content-Length"] = str(entry["size"])
        return _with_headers(response, str(entry["sha256"]), f'"{entry["sha256"]}"', ranges="none")


class BundleVerifyView(APIView):
    """`/bundles/{bundle_id}/verify`."""

    @extend_schema(
        operation_id="verify_bundle",
        tags=TAG,
        summary="Verify a bundle's signature and every hash",
        request=VerifyBundle,
        responses={
            202: OpenApiResponse(VerificationAccepted, "A new job; its result holds the report."),
            200: OpenApiResponse(VerificationAccepted, REPEATED),
        },
    )
    def post(self, request: Request, bundle_id: str) -> Response:
        """Queue a verification."""
        body = body_of(request, VerifyBundle)
        principal = principal_of(request)
        enqueued = services.request_verification(principal, bundle_id, idempotency_key=body.get("idempotency_key", ""))
        return accepted(enqueued, bundle_id=bundle_id)


class BundleDownloadView(APIView):
    """`/bundles/{bundle_id}/download`: the file, whole or in part."""

    @extend_schema(
        operation_id="download_bundle",
        tags=TAG,
        summary="Download a bundle",
        description="Resumable. `ETag` is the file's SHA-256; `Repr-Digest` (RFC 9530) the same in base64.",
        parameters=DOWNLOAD_HEADERS,
        responses={
            (200, "application/zstd"): OpenApiTypes.BINARY,
            (200, "application/gzip"): OpenApiTypes.BINARY,
            (206, "application/zstd"): OpenApiTypes.BINARY,
            (206, "application/gzip"): OpenApiTypes.BINARY,
            304: OpenApiResponse(description="The caller has this file already."),
        },
    )
    def get(self, request: Request, bundle_id: str) -> HttpResponseBase:
        """The file; every request that returns bytes of it is recorded in custody."""
        return self._serve(request, bundle_id, with_body=True)

    @extend_schema(exclude=True)
    def head(self, request: Request, bundle_id: str) -> HttpResponseBase:
        """The headers of the file."""
        return self._serve(request, bundle_id, with_body=False)

    def _serve(self, request: Request, bundle_id: str, *, with_body: bool) -> HttpResponseBase:
        principal = principal_of(request)
        bundle = services.get(principal, bundle_id)
        principal.require("bundles.download_bundle")  # also before a conditional request is answered with 304
        etag = f'"{bundle.sha256}"'
        if byte_ranges.is_known(request.headers, etag):
            return _with_headers(HttpResponse(status=304), bundle.sha256, etag)
        wanted = byte_ranges.wanted_range(request.headers, bundle.size, etag) if with_body else None
        download = services.open_download(principal, bundle_id, first_byte=with_body)
        response = FileResponse(
            byte_ranges.RangeReader(download.file, wanted) if wanted else download.file,
            as_attachment=True,
            filename=download.name,
            content_type=next((kind for end, kind in MEDIA_TYPES.items() if download.name.endswith(end)), None),
        )
        response["Content-Length"] = str(wanted.length if wanted else download.size)
        if wanted:
            response.status_code = 206
            response["Content-Range"] = f"bytes {wanted.first}-{wanted.last}/{download.size}"
        return _with_headers(response, bundle.sha256, etag)


def _with_headers(
    response: HttpResponseBase, sha256: str, etag: str, *, ranges: Literal["bytes", "none"] = "bytes"
) -> HttpResponseBase:
    response["ETag"] = etag
    response["Accept-Ranges"] = ranges
    response["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode('ascii')}:"
    response["Cache-Control"] = "no-store, no-transform"  # a proxy that compresses it would change the bytes
    response["X-Content-Type-Options"] = "nosniff"
    return response
