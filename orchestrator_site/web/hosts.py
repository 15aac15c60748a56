"""Checks the Host header: only ORCH_ALLOWED_HOSTS, except for `/health` and `/ready` from this machine.

A local probe requests `http://127.0.0.1:8012/ready`, a name that production does not list. These responses do not
depend on the host name, so local callers may use any. Other requests with a wrong name get 400 and one log line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.defaults import bad_request

from orchestrator_site.accounts.authentication import comes_from_this_host
from orchestrator_site.errors import problems
from orchestrator_site.operations import health

log = logging.getLogger(__name__)

PROBES = {"/health": health.health, "/ready": health.ready}
SHOWN_CHARACTERS = 100


class HostMiddleware:
    """Runs before everything that reads the request's host name."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request, or refuse it."""
        try:
            request.get_host()
        except DisallowedHost as error:
            if request.path_info in PROBES and comes_from_this_host(request):
                return PROBES[request.path_info](request)
            return _refusal(request, error)
        return self.get_response(request)


def _refusal(request: HttpRequest, error: DisallowedHost) -> HttpResponse:
    named = repr(request.META.get("HTTP_HOST", ""))[:SHOWN_CHARACTERS]
    peer = request.META.get("REMOTE_ADDR", "")
    log.warning("refused a request from %s for the host %s: not in ORCH_ALLOWED_HOSTS", peer, named)
    if problems.is_api(request):
        response = problems.problem("invalid_request", "No such host is served here; see ORCH_ALLOWED_HOSTS.")
    else:
        response = bad_request(request, error)
    response._has_been_logged = True  # type: ignore[attr-defined] # noqa: SLF001 # or Django adds a line of its own
    return response
