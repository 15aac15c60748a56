"""Authentication of API callers: token, client certificate, console session, or an anonymous caller on this host.

Each sets `request.principal`. No identity is taken from a header except a token. Where a browser attaches the identity
automatically (session, certificate, loopback), requests from other sites are refused.
"""

from __future__ import annotations

import ipaddress
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AbstractUser, AnonymousUser, User
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from knox.auth import TokenAuthentication
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from foundation.principal import Principal, of_user
from orchestrator_site.accounts import roles, tokens

CLIENT_USER = "orchestrator.client_user"  # set by the TLS layer; a header's name would begin with HTTP_
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_VIA")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Found = tuple[AbstractUser | AnonymousUser, Any]


class KnoxToken(TokenAuthentication):  # type: ignore[misc] # knox has no type information
    """`Authorization: Token …`; the permissions are those of its user within the token's scope."""

    def authenticate(self, request: Request) -> Found | None:
        """The token's user; None if the request has no token.

        Raises:
            AuthenticationFailed: the token is unknown or expired, or its user is inactive; one message for all.
        """
        try:
            found: Found | None = super().authenticate(request)
        except (exceptions.AuthenticationFailed, ValueError) as error:  # ValueError: not a token's bytes
            raise exceptions.AuthenticationFailed("This token is not valid.") from error
        if found is not None:
            user, token = found
            _remember(
                request, tokens.within_scope(of_user(user, authenticated_by="token", address=_address(request)), token)
            )
        return found


class ClientCertificate(BaseAuthentication):
    """The user of a client certificate that the TLS layer has verified."""

    def authenticate(self, request: Request) -> Found | None:
        """The certificate's user; None without a certificate.

        Raises:
            AuthenticationFailed: no active user has that name.
            PermissionDenied: the request comes from another site.
        """
        name = request.META.get(CLIENT_USER)
        if not name:
            return None
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None:
            raise exceptions.AuthenticationFailed("This certificate belongs to no active user.")
        if request.method not in SAFE_METHODS:
            _refuse_other_sites(request._request)  # noqa: SLF001 # REST framework's documented way to the request
        _remember(request, of_user(user, authenticated_by="certificate", address=_address(request)))
        return user, None


class ConsoleSession(BaseAuthentication):
    """The console's session cookie. Requests that change something need the CSRF token in X-CSRFToken."""

    def authenticate(self, request: Request) -> Found | None:
        """The signed-in user; None without a session.

        Raises:
            PermissionDenied: the CSRF token is missing or wrong.
        """
        user: AbstractUser | AnonymousUser = request._request.user  # noqa: SLF001 # as in REST framework's own
        if not user.is_authenticated or not user.is_active:
            return None
        _require_csrf_token(request._request)  # noqa: SLF001
        _remember(request, of_user(user, authenticated_by="session", address=_address(request)))
        return user, None


class LoopbackCaller(BaseAuthentication):
    """Any caller on this host, with the role ORCH_ANONYMOUS_API_ROLE; only the development profile may set it."""

    def authenticate(self, request: Request) -> Found | None:
        """An anonymous caller with that role; None if it is not set or the caller is not clearly local.

        Raises:
            PermissionDenied: the request comes from another site.
        """
        role = settings.ORCH_ANONYMOUS_API_ROLE
        if not role or "HTTP_AUTHORIZATION" in request.META or not _is_local(request._request):  # noqa: SLF001
            return None
        _refuse_other_sites(request._request)  # noqa: SLF001
        permissions = roles.permissions_of(role)
        _remember(
            request,
            Principal(
                name="anonymous",
                authenticated_by="loopback",
                address=_address(request),
                permissions=frozenset(permissions),
            ),
        )
        return AnonymousUser(), None


class HasRole(BasePermission):
    """Admits callers with any permission; the services check the exact one."""

    message = "Your account has no role here."

    def has_permission(self, request: Request, view: object) -> bool:
        """Whether the principal has any permission. Raises 401 if there is no principal."""
        del view
        principal = getattr(request, "principal", None)
        if principal is None:
            raise exceptions.NotAuthenticated("Sign in, or send a token.")
        return isinstance(principal, Principal) and (principal.permissions is None or bool(principal.permissions))


def _remember(request: Request, principal: Principal) -> None:
    request._request.principal = principal  # type: ignore[attr-defined] # noqa: SLF001 # REST framework reads through


def _address(request: Request) -> str:
    return str(request.META.get("REMOTE_ADDR") or "")


def comes_from_this_host(request: HttpRequest) -> bool:
    """Whether the peer is this host and the request was not forwarded by a proxy."""
    try:
        peer = ipaddress.ip_address(request.META.get("REMOTE_ADDR") or "")
    except ValueError:
        return False
    mapped = getattr(peer, "ipv4_mapped", None)
    return (mapped or peer).is_loopback and not any(header in request.META for header in FORWARDED)


def _is_local(request: HttpRequest) -> bool:
    """Whether the request comes from this host and its Host header names this host."""
    host = request.get_host()
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    return name in LOCAL_NAMES and comes_from_this_host(request)


def _refuse_other_sites(request: HttpRequest) -> None:
    """Refuse requests that another site's page made the browser send.

    Raises:
        PermissionDenied: Sec-Fetch-Site, Origin or Referer names another site.
    """
    ours = (request.scheme, request.get_host())
    origin = request.headers.get("Origin")
    referer = request.headers.get("Referer")
    if (
        request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}
        or (origin is not None and _origin(origin) != ours)
        or (origin is None and referer is not None and _origin(referer) != ours)
    ):
        raise exceptions.PermissionDenied("This request comes from another site.", code="cross_site_refused")


def _origin(address: str) -> tuple[str, str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ("", "")
    return (parts.scheme, parts.netloc)


def _require_csrf_token(request: HttpRequest) -> None:
    """Check the CSRF token in the header only: looking for it in a form would read a whole upload.

    Raises:
        PermissionDenied: it is missing or wrong.
    """
    bodiless = WSGIRequest({**request.META, "wsgi.input": BytesIO(), "CONTENT_LENGTH": "0", "CONTENT_TYPE": ""})
    check = CSRFCheck(lambda _: None)  # type: ignore[arg-type] # never called: only the check is used
    check.process_request(bodiless)
    reason = check.process_view(bodiless, None, (), {})  # type: ignore[arg-type] # the view only exempts, and none does
    if reason:
        raise exceptions.PermissionDenied(f"The CSRF check failed: {reason}", code="csrf_failed")
