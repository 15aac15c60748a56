"""The identity of a caller: a user, token, client certificate, shell user, or the system itself."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.http import HttpRequest

from foundation.errors import AccessDeniedError


@dataclass(frozen=True, kw_only=True)
class Principal:
    """An identity as custody records it.

    Attributes:
        name: user name, or `anonymous`, `cli` or `system`.
        authenticated_by: `session`, `token`, `certificate`, `loopback`, `shell` or `system`.
        address: the peer's IP address, empty where there is none.
        permissions: names like `bundles.create_bundle`; `None` means all (shell and system).
    """

    name: str
    authenticated_by: str
    address: str = ""
    permissions: frozenset[str] | None = frozenset()

    def may(self, permission: str) -> bool:
        """Whether this principal holds `permission` (`app.codename`)."""
        return self.permissions is None or permission in self.permissions

    def require(self, permission: str) -> None:
        """Pass when `permission` is held.

        Raises:
            AccessDeniedError: it is not.
        """
        if not self.may(permission):
            raise AccessDeniedError("Your role does not allow this.", permission)


SYSTEM = Principal(name="system", authenticated_by="system", permissions=None)


def shell(user_name: str) -> Principal:
    """The operating-system user `user_name` at a shell on the host; such a person already holds the database."""
    return Principal(name=f"cli:{user_name}", authenticated_by="shell", permissions=None)


def of_user(user: AbstractUser | AnonymousUser, *, authenticated_by: str, address: str) -> Principal:
    """The principal for a Django user.

    Args:
        user: an authenticated, active user, or `AnonymousUser`.
        authenticated_by: see `Principal`.
        address: the peer's IP address.
    """
    if not user.is_authenticated or not user.is_active:
        return Principal(name="anonymous", authenticated_by="none", address=address)
    return Principal(
        name=user.get_username(),
        authenticated_by=authenticated_by,
        address=address,
        permissions=frozenset(user.get_all_permissions()),
    )


def of_request(request: HttpRequest) -> Principal:
    """The principal of a console request, signed in by session (or by what an authenticator put on the request)."""
    given = getattr(request, "principal", None)
    if isinstance(given, Principal):
        return given
    return of_user(request.user, authenticated_by="session", address=request.META.get("REMOTE_ADDR", ""))
