"""Actions of a user on their own account: change the password, list and end sessions.

Each action commits together with its custody event. No permission is needed: a user acts only on their own account.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from knox.models import AuthToken

from custody import chain
from foundation.principal import Principal
from orchestrator_site.models import ConsoleSession

SHOWN = 50


class Ended(NamedTuple):
    """How many sessions and tokens were ended."""

    sessions: int
    tokens: int


def sessions_of(user: User) -> list[ConsoleSession]:
    """The live sessions of `user`, most recently used first; at most `SHOWN`.

    A session that began under another password has ended, although its row remains until it expires.
    """
    now = timezone.now()
    awake = now - timedelta(minutes=settings.ORCH_SESSION_IDLE_MINUTES)
    found = user.console_sessions.filter(expire_date__gt=now, seen_at__gt=awake).order_by("-seen_at")[:SHOWN]
    valid = user.get_session_auth_hash()
    return [one for one in found if constant_time_compare(one.get_decoded().get(HASH_SESSION_KEY, ""), valid)]


def change_password(principal: Principal, user: AbstractBaseUser, password: str, *, keep: str | None) -> int:
    """Set a new password and end all sessions except `keep`.

    Args:
        principal: the user as principal.
        user: the user.
        password: the new password, already validated by Django's validators.
        keep: the key of the session to keep; None ends all.

    Returns:
        How many sessions were ended.
    """
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        ended, _ = ConsoleSession.objects.filter(user_id=user.pk).exclude(session_key=keep or "").delete()
        name = user.get_username()
        chain.record(principal, "user.change_password", "user", name, details={"sessions_ended": ended})
    return ended


def sign_out_everywhere(principal: Principal, user: User, *, tokens: bool) -> Ended:
    """End every session of `user`, including the current one; with `tokens`, also revoke their API tokens."""
    with transaction.atomic():
        sessions, _ = ConsoleSession.objects.filter(user_id=user.pk).delete()
        revoked = AuthToken.objects.filter(user_id=user.pk)
        count = revoked.count() if tokens else 0
        if tokens:
            revoked.delete()
        details = {"sessions_ended": sessions, "tokens_revoked": count}
        chain.record(principal, "user.sign_out_everywhere", "user", user.get_username(), details=details)
    return Ended(sessions, count)
