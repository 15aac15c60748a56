"""Takes a file to import straight from the request into the quarantine below OUTPUT_DIR, never by way of /tmp."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from bundles.errors import InvalidBundleRequestError, UploadTooLargeError
from bundles.intake.services import PERMISSION, Arrived
from bundles.uploads import quarantine
from foundation.multipart import Part, parts_of
from jobs.rest.api import principal_of

FILE_FIELD = "file"
FORM_BYTES = 64 * 1024  # room for the boundaries around the file


class IntakeFormParser(BaseParser):
    """multipart/form-data with nothing but the file `file`, by REST framework's protocol."""

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Read the form.

        Args:
            stream: the body.
            media_type: as the view's parsers are asked; the boundary comes from the request.
            parser_context: holds the request.

        Returns:
            `file` as an `Arrived`.

        Raises:
            AccessDeniedError: the principal may not bundle.
            UploadTooLargeError: by Content-Length already.
            StorageFullError: there is no room; nothing is kept.
            MultipartInvalidError: the form is malformed or incomplete.
            InvalidBundleRequestError: it has another field, or no file.
        """
        del media_type
        request: Request = (parser_context or {})["request"]
        principal_of(request).require(PERMISSION)
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.ORCH_MAX_UPLOAD_BYTES + FORM_BYTES:
            raise UploadTooLargeError("This file is larger than this deployment accepts (ORCH_MAX_UPLOAD_MB).")
        parts = parts_of(stream, request.META.get("CONTENT_TYPE", ""))
        for part in parts:
            if part.name != FILE_FIELD or part.filename is None:
                raise _wrong()
            upload = quarantine.keep(_whole(part, parts), most=settings.ORCH_MAX_UPLOAD_BYTES)
            arrived = Arrived(file=Path(upload.path), name=part.filename, size=upload.size, sha256=upload.sha256)
            return {FILE_FIELD: arrived}
        raise _wrong()


class PieceParser(BaseParser):
    """application/octet-stream: the body as it is, for a piece of an upload."""

    media_type = "application/octet-stream"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The body, not read yet, as `stream`."""
        del media_type, parser_context
        return {"stream": stream}


def _whole(file: Part, parts: Iterator[Part]) -> Iterator[bytes]:
    """The file's bytes; then, still before the receiver believes them, the form is read to its end."""
    yield from file.content
    for _ in parts:
        raise _wrong()


def _wrong() -> InvalidBundleRequestError:
    return InvalidBundleRequestError("The form must have one file and nothing else.", {FILE_FIELD: "one file"})
