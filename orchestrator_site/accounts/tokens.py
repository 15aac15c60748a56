"""API tokens of users: created with a name, a scope and an expiry, shown once, revocable.

A scope is a role that limits the token. `accounts.authentication` gives each request the permissions that both the
scope and the user have at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from knox.models import AuthToken

from custody import chain
from foundation.errors import AppError
from foundation.principal import Principal
from orchestrator_site.accounts.roles import permissions_of
from orchestrator_site.configuration.env import ROLES
from orchestrator_site.models import TokenDetails

MAX_TOKENS = 50
MAX_NAME = 80
USE_RECORDED_EVERY = timedelta(minutes=1)


class TokenRefusedError(AppError):
    """The token cannot be created as requested."""

    code = "invalid_request"


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token as its owner sees it.

    Attributes:
        key: its first characters, which identify it but give no access.
        name: the name that its owner chose.
        role: the role that limits it; empty for all permissions of its user.
        created: when it was created.
        expires: when it expires; None for never.
        last_used_at: when it was last used; None if no use is recorded.
        last_used_from: the peer's address of that use.
    """

    key: str
    name: str
    role: str
    created: datetime
    expires: datetime | None
    last_used_at: datetime | None
    last_used_from: str


def tokens_of(user: AbstractBaseUser) -> list[Token]:
    """The live tokens of `user`, newest first."""
    return [_token(one) for one in _live(user).select_related("details").order_by("-created")[:MAX_TOKENS]]


def scopes_for(principal: Principal) -> list[str]:
    """The roles that can limit a token of this principal: those whose permissions it has itself."""
    return [role for role in ROLES if all(principal.may(permission) for permission in permissions_of(role))]


def create(principal: Principal, user: User, *, name: str, role: str, days: int) -> tuple[Token, str]:
    """Create a token.

    Args:
        principal: who creates it.
        user: the user it acts as.
        name: its name; unique among the user's live tokens, may be empty.
        role: the scope; empty for all permissions of its user.
        days: days until it expires.

    Returns:
        The token, and its secret, which is not stored.

    Raises:
        TokenRefusedError: the name is taken, or the user has too many tokens.
    """
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # so that two requests cannot create the same name
        live = _live(user)
        if name and live.filter(details__name=name).exists():
            raise TokenRefusedError(f"You already have a token named {name}. Revoke it, or choose another name.")
        if live.count() >= MAX_TOKENS:
            raise TokenRefusedError(f"You have {MAX_TOKENS} tokens. Revoke one that is no longer needed.")
        made, secret = AuthToken.objects.create(user=user, expiry=timedelta(days=days))
        made.details = TokenDetails.objects.create(token=made, name=name, role=role)
        details = {"user": user.get_username(), "name": name, "scope": role or "own role", "expires": _day(made.expiry)}
        chain.record(principal, "token.create", "token", made.token_key, details=details)
    return _token(made), secret


def revoke(principal: Principal, user: AbstractBaseUser, key: str) -> bool:
    """Revoke one of the user's tokens; false if there is none with that key."""
    with transaction.atomic():
        found = AuthToken.objects.filter(user_id=user.pk, token_key=key)
        deleted = found.delete()[1].get("knox.AuthToken", 0)
        if deleted:
            chain.record(principal, "token.revoke", "token", key, details={"user": user.get_username()})
    return bool(deleted)


def within_scope(principal: Principal, token: AuthToken) -> Principal:
    """Record the use of `token` and return the principal limited to the token's scope."""
    details, _ = TokenDetails.objects.get_or_create(token=token)  # an older token has none yet
    now = timezone.now()
    if details.last_used_at is None or now - details.last_used_at > USE_RECORDED_EVERY:
        TokenDetails.objects.filter(pk=details.pk).update(last_used_at=now, last_used_from=principal.address)
    if not details.role:
        return principal
    allowed = permissions_of(details.role) if details.role in ROLES else frozenset()
    held = allowed if principal.permissions is None else principal.permissions & allowed
    return replace(principal, permissions=held)


def _live(user: AbstractBaseUser):  # type: ignore[no-untyped-def] # knox has no type information
    return AuthToken.objects.filter(Q(expiry=None) | Q(expiry__gt=timezone.now()), user_id=user.pk)


def _day(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "never"


def _token(row: AuthToken) -> Token:
    details = getattr(row, "details", None)
    return Token(
        key=row.token_key,
        name=details.name if details else "",
        role=details.role if details else "",
        created=row.created,
        expires=row.expiry,
        last_used_at=details.last_used_at if details else None,
        last_used_from=details.last_used_from if details else "",
    )
