"""Signs console users in by client certificate, which takes precedence over a session cookie.

`accounts.mtls` determines the user name; the API reads the same name in `accounts.authentication`.
"""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import AbstractUser, AnonymousUser, User
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from foundation.principal import Principal, of_user
from orchestrator_site.accounts.mtls import CLIENT_USER


class ClientCertificateMiddleware:
    """Sets `request.user` and `request.principal`; without an active user of that name, nobody is signed in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request; without a certificate nothing changes."""
        name = request.META.get(CLIENT_USER)
        if name:
            # Lazy, so that /health needs no database.
            request.user = SimpleLazyObject(lambda: _active_user(name))  # type: ignore[assignment]
            request.principal = SimpleLazyObject(lambda: _principal(request))  # type: ignore[attr-defined]
        return self.get_response(request)


def _active_user(name: str) -> AbstractUser | AnonymousUser:
    return User.objects.filter(username=name, is_active=True).first() or AnonymousUser()


def _principal(request: HttpRequest) -> Principal:
    return of_user(request.user, authenticated_by="certificate", address=request.META.get("REMOTE_ADDR", ""))
