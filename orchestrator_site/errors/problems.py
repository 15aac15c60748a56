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
from foundation.errors import AccessDeniedError, AppError
from orchestrator_site.accounts import roles
from orchestrator_site.errors import catalogue

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
FIRST_SEGMENTS = frozenset({"bundle", "bundles", "docs", "health", "incidents", "jobs", "ready", "rehydrate", "schema"})

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
    number = catalogue.status_of(code)
    body: dict[str, Any] = {
        "type": f"urn:ransomeye:problem:{code}",
        "title": catalogue.title_of(code) if code in catalogue.OF_REQUESTS else HTTPStatus(number).phrase,
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
    if isinstance(error, AccessDeniedError):
        that_may = roles.that_may_in_words(error.permission)
        return problem(error.code, f"{error} It needs the role {that_may}." if that_may else str(error))
    if isinstance(error, AppError):
        wrong = {name: [text] for name, text in error.fields.items()}
        return problem(error.code, str(error) or catalogue.title_of(error.code), errors=wrong, headers=error.headers)
    if isinstance(error, FormatError):
        return problem(error.code, str(error) or catalogue.title_of(error.code))
    for kind, code in _OF_THE_FRAMEWORK:
        if isinstance(error, kind):
            return _of_framework(error, code)
    if isinstance(error, exceptions.APIException):
        code = str(error.default_code)
        return problem(code if code in catalogue.OF_REQUESTS else "invalid_request", str(error.detail))
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
        answer = problem(code, f"{catalogue.title_of(code)}.", headers=headers)
        # Django's marker that this response was logged; without it Django logs it again.
        answer._has_been_logged = getattr(response, "_has_been_logged", False)  # type: ignore[attr-defined] # noqa: SLF001
        return answer


def is_api(request: HttpRequest) -> bool:
    """Whether the request's path belongs to the API, found or not."""
    return request.path_info.lstrip("/").split("/", 1)[0] in FIRST_SEGMENTS


def _of_framework(error: Exception, code: str) -> HttpResponse:
    if isinstance(error, Http404 | DjangoPermissionDenied):
        return problem(code, catalogue.title_of(code) + ".")
    assert isinstance(error, exceptions.APIException)  # noqa: S101 # the table pairs nothing else with these codes
    if isinstance(error, exceptions.ValidationError):
        return problem(code, "Some fields are wrong; see errors.", errors=_messages(error.detail))
    given = error.get_codes()
    if isinstance(given, str) and given in catalogue.OF_REQUESTS:
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
