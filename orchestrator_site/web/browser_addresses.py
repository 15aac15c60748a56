"""Sends browsers from an API address to the console page of the same thing.

Only for GET and HEAD, only where the Accept header names `text/html` and prefers it to JSON, and never with an
Authorization header. Every other request reaches the API as before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.cache import patch_vary_headers

ADDRESS = re.compile(r"/(?P<things>jobs|bundles|incidents)(?:/(?P<id>[^/]+))?")
PAGES = {"jobs": "job-page", "bundles": "bundle-page", "incidents": "incident-page"}
OF_THE_API = frozenset({"cursor", "limit"})  # parameters that mean nothing on a page


class SeePage(HttpResponseRedirect):
    """303: the page is at another address."""

    status_code = HTTPStatus.SEE_OTHER


class BrowserAddressMiddleware:
    """Redirects browsers; every answer of these addresses says `Vary: Accept`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        found = ADDRESS.fullmatch(request.path_info) if request.method in {"GET", "HEAD"} else None
        if found is None:
            return self.get_response(request)
        answer: HttpResponseBase
        if "Authorization" not in request.headers and prefers_page(request.headers.get("Accept", "")):
            answer = SeePage(page_of(found["things"], found["id"] or "", request))
        else:
            answer = self.get_response(request)
        patch_vary_headers(answer, ["Accept"])
        return answer


def prefers_page(accept: str) -> bool:
    """Whether an Accept header names `text/html` and gives it more weight than `application/json`.

    A wildcard does not name it: programs send `*/*`.
    """
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        weights[name] = max(weights.get(name, 0.0), _weight(parameters))
    html = weights.get("text/html", 0.0)
    if "application/json" in weights:
        return html > weights["application/json"]
    return 0.0 < html >= weights.get("application/*", weights.get("*/*", 0.0))


def page_of(things: str, given_id: str, request: HttpRequest) -> str:
    """The address of the console page of a list or of one of its things; the search for an id that cannot be one."""
    parameters = [(name, value) for name, values in request.GET.lists() for value in values if name not in OF_THE_API]
    query = f"?{urlencode(parameters)}" if parameters else ""
    if not given_id:
        return reverse(f"{things}-page") + query
    if things == "incidents":
        return reverse("incident-page", args=[given_id]) + query
    try:
        return reverse(PAGES[things], args=[UUID(given_id)]) + query
    except ValueError:
        return f"{reverse('find')}?{urlencode({'q': given_id})}"


def _weight(parameters: list[str]) -> float:
    """The value of `q`, 1 without one, 0 for one that is no number."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if re.fullmatch(r"[01](\.[0-9]{0,3})?", value.strip()) else 0.0
    return 1.0
