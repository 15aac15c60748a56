"""Takes an uploaded bundle straight from the request into the quarantine below OUTPUT_DIR, never by way of /tmp.

A body is read only for those who may restore. The file counts as received once the whole form has been read and its
fields are right; whatever goes wrong before that, no file stays and custody has no line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from bundles.uploads import quarantine
from custody import chain
from foundation.multipart import Part, parts_of
from foundation.principal import Principal
from foundation.strict_input import StrictBooleanField, StrictSerializer, StrictTextField, checked
from jobs.rest.api import principal_of
from jobs.rest.fields import idempotency_key_field
from rehydration.errors import RestoreError, RestoreRequestError

FILE_FIELD = "bundle_file"
FORM_BYTES = 256 * 1024  # room for the fields and boundaries around the file
BOOLEANS = {"true": True, "false": False}


class UploadTooLargeError(RestoreError):
    """The upload is larger than ORCH_MAX_UPLOAD_MB."""

    code = "upload_too_large"


class RestoreOptions(StrictSerializer):
    """How to restore, whichever way the bundle is named."""

    verify_signature = StrictBooleanField(required=False, default=True)
    dry_run = StrictBooleanField(required=False, default=False, help_text="verify and plan, write nothing")
    plan_digest = StrictTextField(
        required=False, pattern="[0-9a-f]{64}", help_text="restore only if the plan is still this one"
    )
    idempotency_key = idempotency_key_field()


class UploadFormParser(BaseParser):
    """multipart/form-data with the file `bundle_file`, by REST framework's protocol."""

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
            `bundle_file` as an `Upload`, and the checked `RestoreOptions`.

        Raises:
            AccessDeniedError: the principal may not restore.
            UploadTooLargeError: by Content-Length already.
            MultipartInvalidError: the form is malformed or incomplete.
            ValidationError: a field is wrong.
        """
        del media_type
        request: Request = (parser_context or {})["request"]
        principal = principal_of(request)
        principal.require("rehydration.restore_bundle")
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.ORCH_MAX_UPLOAD_BYTES + FORM_BYTES:
            raise UploadTooLargeError("This upload is larger than this deployment accepts (ORCH_MAX_UPLOAD_MB).")
        return _receive(principal, parts_of(stream, request.META.get("CONTENT_TYPE", "")))


def discard(principal: Principal, upload: quarantine.Upload, reason: str) -> None:
    """Remove an upload that no job will read, and record that in custody."""
    Path(upload.path).unlink(missing_ok=True)
    chain.record(principal, "upload.discard", "upload", upload.upload_id, digest=upload.sha256, details={"why": reason})


def _receive(principal: Principal, parts: Iterator[Part]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for part in parts:
        if part.name == FILE_FIELD and part.filename is not None:
            upload = quarantine.receive(principal, _file_then_rest(part, parts, fields), part.filename)
            return {**checked(fields, RestoreOptions), FILE_FIELD: upload}
        _add(fields, part)
    raise RestoreRequestError(f"The form has no file {FILE_FIELD}.")


def _file_then_rest(file: Part, parts: Iterator[Part], fields: dict[str, Any]) -> Iterator[bytes]:
    """The file's bytes; then, still before the receiver believes them, the fields behind it are read and checked."""
    yield from file.content
    for part in parts:
        _add(fields, part)
    checked(fields, RestoreOptions)


def _add(fields: dict[str, Any], part: Part) -> None:
    if part.name in fields or part.name == FILE_FIELD:
        raise RestoreRequestError(f"The form must have one file {FILE_FIELD}, and no field twice.")
    text = part.text()
    fields[part.name] = BOOLEANS.get(text, text)
