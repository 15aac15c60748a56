"""Forbids browsers and proxies to cache responses.

Most answers name incidents and evidence and depend on who asked. So each one says `no-store`: API, console, admin,
errors and downloads alike, whoever asked. Static files are served before this middleware is reached; they are the same
for everybody and may be kept. A view may add to the header (`no-transform`) but not take from it.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

NO_STORE = "no-store"


class NoStoreMiddleware:
    """Sets `Cache-Control: no-store` on every answer that does not say it already."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        response = self.get_response(request)
        directives = {word.strip().lower() for word in response.get("Cache-Control", "").split(",")}
        if NO_STORE not in directives:
            response["Cache-Control"] = NO_STORE
        return response
