"""Gives every request an id of its own, for the answer, the error and the log to share.

The id is always made here: one that a client could choose would let it write into our log.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from uuid import uuid4

from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER = "X-Request-ID"
_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """The id of the request being answered in this context; empty outside of one."""
    return _current.get()


class RequestIdMiddleware:
    """Sets `request.request_id` and answers with it in `X-Request-ID`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request under an id of its own."""
        request_id = str(uuid4())
        request.request_id = request_id  # type: ignore[attr-defined] # for templates and problems
        token = _current.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            _current.reset(token)
        response[HEADER] = request_id
        return response
