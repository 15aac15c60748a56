"""The guard of every console page: sign-in, permission, CSRF, upload size, and the error page.

A view wrapped in `page` is reached only by signed-in users; our errors become a page with their code. Apps write plain
views; `console.urls` wraps all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from bundles.format.model.errors import FormatError
from foundation.errors import AppError
from foundation.principal import of_request
from orchestrator_site.accounts import roles, time_zone
from orchestrator_site.errors import catalogue

View = Callable[..., HttpResponseBase]


def page(view: View, *, needs: str = "", is_unchanged: Callable[..., bool] | None = None) -> View:
    """Wrap a view of the console.

    The CSRF token is checked after session, permission and size: reading it means reading the whole form, and a large
    upload must not be read from a user who may not make it.

    Args:
        view: the view; it may raise any of our errors.
        needs: a permission that is checked before the body is read; the view's services check their own as well.
        is_unchanged: as `ConsolePage` describes it; a live part that is, is answered with 204, which htmx ignores.
    """
    checked = csrf_protect(view)

    @csrf_exempt
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        is_part = request.method == "GET" and "HX-Request" in request.headers
        if is_part and is_unchanged and is_unchanged(request, *args, **kwargs):
            return HttpResponse(status=HTTPStatus.NO_CONTENT)
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        with time_zone.shown_to(request):
            try:
                if needs:
                    of_request(request).require(needs)
                if _length(request) > settings.ORCH_MAX_UPLOAD_BYTES:
                    raise BodyTooLargeError
                response = checked(request, *args, **kwargs)
            except (AppError, FormatError) as error:
                response = refusal(request, error)
        return response

    return guarded


class BodyTooLargeError(AppError):
    """The form is larger than an upload may be."""

    code = "body_too_large"

    def __init__(self) -> None:
        super().__init__("This upload is larger than this deployment accepts (ORCH_MAX_UPLOAD_MB).")


def refusal(request: HttpRequest, error: Exception) -> HttpResponse:
    """The page for one of our errors: message, code, the roles that may, and the same HTTP status as in the API."""
    code = str(getattr(error, "code", "error"))
    roles_that_may = roles.that_may_in_words(getattr(error, "permission", ""))
    context = {"message": str(error), "code": code, "roles_that_may": roles_that_may}
    return render(request, "refusal.html", context, status=catalogue.status_of(code))


def _length(request: HttpRequest) -> int:
    text = request.META.get("CONTENT_LENGTH") or "0"
    return int(text) if text.isdigit() else 0


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    """Redirect to the sign-in page and back; a live part redirects its whole page."""
    ended = getattr(request, "session_ended", "")
    is_part = bool(request.headers.get("HX-Request"))
    if is_part and not ended:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    response: HttpResponse = redirect_to_login(_page_of(request) if is_part else request.get_full_path())
    if ended:
        response["Location"] += f"&ended={ended}"
    if is_part:
        response = HttpResponse(status=204, headers={"HX-Redirect": response["Location"]})
    return response


def _page_of(request: HttpRequest) -> str:
    """The page that contains a live part, as htmx reports it."""
    try:
        parts = urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:
        return "/"
    return urlunsplit(("", "", parts.path or "/", parts.query, ""))
