"""Errors over HTTP: RFC 9457 problem documents for the API, and the HTTP status of each error code.

Every API error passes through here: ours, the framework's and unexpected ones. A problem document contains no
traceback, no path of the host, and no name of anything the caller may not see.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import exceptions

from bundles.format.model.errors import FormatError
from foundation import request_id
from foundation.disk import is_disk_full
from foundation.errors import AppError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
FIRST_SEGMENTS = frozenset({"bundle", "bundles", "docs", "health", "incidents", "jobs", "ready", "rehydrate", "schema"})

# code → (HTTP status, what it means in a few words). docs/api.md explains each; an unlisted code of ours is a 400.
PROBLEMS: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "The request is not valid"),
    "incident_id_invalid": (400, "The incident id is not valid"),
    "bundle_path_invalid": (400, "The bundle path is not valid"),
    "cursor_invalid": (400, "The cursor is not valid"),
    "plan_digest_required": (400, "A plan digest is required"),
    "not_authenticated": (401, "Sign-in is required"),
    "permission_denied": (403, "Not allowed"),
    "csrf_failed": (403, "The request did not come from our own pages"),
    "cross_site_refused": (403, "Requests from other sites are refused"),
    "signature_required": (403, "The signature must be verified"),
    "not_found": (404, "Not found"),
    "job_not_found": (404, "No such job"),
    "bundle_not_found": (404, "No such bundle"),
    "worker_not_found": (404, "No such worker"),
    "incident_not_found": (404, "No such incident"),
    "file_not_found": (404, "No such file in the bundle"),
    "upload_not_found": (404, "No such upload"),
    "method_not_allowed": (405, "This method is not allowed here"),
    "state_conflict": (409, "The job's state forbids this"),
    "idempotency_key_reused": (409, "The idempotency key belongs to another request"),
    "plan_changed": (409, "The restore plan has changed"),
    "upload_offset": (409, "The upload continues at another offset"),
    "bundle_unavailable": (410, "The bundle's file is missing"),
    "length_required": (411, "Content-Length is required"),
    "precondition_failed": (412, "The file has changed"),
    "body_too_large": (413, "The body is too large"),
    "upload_too_large": (413, "The upload is too large"),
    "file_too_large": (413, "The file is too large to be opened on its own"),
    "unsupported_media_type": (415, "This media type is not supported"),
    "range_not_satisfiable": (416, "The range lies outside the file"),
    "internal_error": (500, "Something failed on our side"),
    "outcome_unknown": (503, "The outcome is not known yet"),
    "database_unavailable": (503, "The database cannot be reached"),
    "store_mismatch": (503, "This host does not have the registered store"),
    "storage_full": (507, "The storage is full"),
}

_OF_THE_FRAMEWORK: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.ValidationError, "invalid_request"),
    (exceptions.ParseError, "invalid_request"),
    (exceptions.NotAuthenticated, "not_authenticated"),
    (exceptions.AuthenticationFailed, "not_authenticated"),
    (exceptions.PermissionDenied, "permission_denied"),
    (DjangoPermissionDenied, "permission_denied"),
    (exceptions.NotFound, "not_found"),
    (Http404, "not_found"),
    (exceptions.MethodNotAllowed, "method_not_allowed"),
    (exceptions.UnsupportedMediaType, "unsupported_media_type"),
)
# Statuses for which Django itself returns an error page.
_OF_PAGES = {400: "invalid_request", 403: "permission_denied", 404: "not_found", 405: "method_not_allowed"}


def status_of(code: str) -> int:
    """The HTTP status for one of our codes; 400 for a code that the table does not name."""
    return PROBLEMS.get(code, (400, ""))[0]


def title_of(code: str) -> str:
    """What one of our codes means, in a few words."""
    return PROBLEMS[code][1] if code in PROBLEMS else code


def problem(
    code: str,
    detail: str,
    *,
    errors: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """A problem document (RFC 9457).

    Args:
        code: a stable code; decides the status and the title.
        detail: what happened, for a person.
        errors: for each wrong field, what is wrong with it.
        headers: more headers of the answer.
    """
    number = status_of(code)
    body: dict[str, Any] = {
        "type": f"urn:ransomeye:problem:{code}",
        "title": PROBLEMS[code][1] if code in PROBLEMS else HTTPStatus(number).phrase,
        "status": number,
        "detail": detail,
        "code": code,
        "request_id": request_id.current(),
    }
    if errors:
        body["errors"] = errors
    answer = HttpResponse(json.dumps(body), status=number, content_type=MEDIA_TYPE)
    for name, value in (headers or {}).items():
        answer[name] = value
    return answer


def of_exception(error: Exception, context: Mapping[str, Any] | None = None) -> HttpResponseBase:
    """The problem document for an exception from an API view; REST framework's EXCEPTION_HANDLER.

    Args:
        error: the exception.
        context: the view and the request, as REST framework gives them; not needed.
    """
    del context
    if isinstance(error, AppError):
        wrong = {name: [text] for name, text in error.fields.items()}
        return problem(error.code, str(error) or title_of(error.code), errors=wrong, headers=error.headers)
    if isinstance(error, FormatError):
        return problem(error.code, str(error) or title_of(error.code))
    for kind, code in _OF_THE_FRAMEWORK:
        if isinstance(error, kind):
            return _of_framework(error, code)
    if isinstance(error, exceptions.APIException):
        code = str(error.default_code)
        return problem(code if code in PROBLEMS else "invalid_request", str(error.detail))
    if isinstance(error, OperationalError | InterfaceError):
        log.error("the database cannot be reached: %s", error)
        return problem("database_unavailable", "Try again in a moment.", headers={"Retry-After": "5"})
    if isinstance(error, OSError) and is_disk_full(error):
        log.error("the storage is full: %s", error)
        return problem("storage_full", "Nothing of this request was stored. Free some space, then try again.")
    log.error("request %s failed", request_id.current(), exc_info=error)
    return problem("internal_error", "The request failed. Give its id to an administrator: the log has the reason.")


class ProblemsMiddleware:
    """Replaces Django's own error pages under API paths with problem documents.

    These are unknown paths, methods that plain views refuse, and exceptions outside API views.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        if response.status_code < HTTPStatus.BAD_REQUEST or not is_page or not is_api(request):
            return response
        code = _OF_PAGES.get(response.status_code, "internal_error")
        headers = {name: response[name] for name in ("Allow",) if name in response}
        answer = problem(code, f"{PROBLEMS[code][1]}.", headers=headers)
        # Django's marker that this response was logged; without it Django logs it again.
        answer._has_been_logged = getattr(response, "_has_been_logged", False)  # type: ignore[attr-defined] # noqa: SLF001
        return answer


def is_api(request: HttpRequest) -> bool:
    """Whether the request's path belongs to the API, found or not."""
    return request.path_info.lstrip("/").split("/", 1)[0] in FIRST_SEGMENTS


def _of_framework(error: Exception, code: str) -> HttpResponse:
    if isinstance(error, Http404 | DjangoPermissionDenied):
        return problem(code, PROBLEMS[code][1] + ".")
    assert isinstance(error, exceptions.APIException)  # noqa: S101 # the table pairs nothing else with these codes
    if isinstance(error, exceptions.ValidationError):
        return problem(code, "Some fields are wrong; see errors.", errors=_messages(error.detail))
    given = error.get_codes()
    if isinstance(given, str) and given in PROBLEMS:
        code = given
    headers: dict[str, str] = {}
    challenge = getattr(error, "auth_header", None)
    if challenge and code == "not_authenticated":
        headers["WWW-Authenticate"] = challenge
    return problem(code, str(error.detail), headers=headers)


def _messages(detail: Any) -> dict[str, list[str]]:
    """Messages by field; those without a field are under `body`."""
    if not isinstance(detail, Mapping):
        detail = {"body": detail}
    return {
        "body" if name == "non_field_errors" else str(name): [str(text) for text in _flat(value)]
        for name, value in detail.items()
    }


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _flat(inner)]
    return [text for inner in value for text in _flat(inner)] if isinstance(value, list) else [value]
