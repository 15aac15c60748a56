"""Expiry of console sessions: when idle (ORCH_SESSION_IDLE_MINUTES) and at a maximum age (ORCH_SESSION_HOURS).

Only user actions count as activity: opening a page or sending a form. Automatic refreshes do not, so a tab that is left
open overnight is signed out. A session without timestamps counts as ended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout, user_logged_in
from django.contrib.auth.middleware import get_user
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

log = logging.getLogger(__name__)

BEGAN, SEEN, ADDRESS, AGENT = "began_at", "seen_at", "address", "agent"
IDLE, AGE = "idle", "age"
WRITTEN_EVERY_S = 30  # minimum time between two writes of `seen_at`, so that not every page view writes
MAX_AGENT = 200
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SessionAgeMiddleware:
    """Signs out an ended session when `request.user` is first read; `request.session_ended` holds the reason."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request. The user is read lazily, so that /health needs no database."""
        request.user = SimpleLazyObject(lambda: _current_user(request))  # type: ignore[assignment]
        return self.get_response(request)


def begin(session: SessionBase, *, address: str = "", agent: str = "") -> None:
    """Record start time, address and browser of a new session."""
    session[BEGAN] = session[SEEN] = time.time()
    session[ADDRESS], session[AGENT] = address, "".join(filter(str.isprintable, agent))[:MAX_AGENT]


def is_activity(request: HttpRequest) -> bool:
    """Whether the request is a user action: a form or a page view; not a live update, a script's call or a file."""
    if request.method not in SAFE_METHODS:
        return True
    return not request.headers.get("HX-Request") and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def why_ended(session: SessionBase) -> str:
    """`idle`, `age`, or empty if the session has not ended."""
    now = time.time()
    if now - float(session.get(BEGAN, 0)) > settings.ORCH_SESSION_HOURS * 3600:
        return AGE
    return IDLE if now - float(session.get(SEEN, 0)) > settings.ORCH_SESSION_IDLE_MINUTES * 60 else ""


def _current_user(request: HttpRequest) -> AbstractBaseUser | AnonymousUser:
    user = get_user(request)
    if SESSION_KEY not in request.session or not user.is_authenticated:
        return user
    ended = why_ended(request.session)
    if ended:
        log.info("a session of %s has ended (%s)", user.get_username(), ended)
        request.session_ended = ended  # type: ignore[attr-defined]
        request.user = user
        logout(request)
        return AnonymousUser()
    if is_activity(request) and time.time() - float(request.session[SEEN]) > WRITTEN_EVERY_S:
        request.session[SEEN] = time.time()
    return user


@receiver(user_logged_in, dispatch_uid="orchestrator_site.accounts.session_age")
def _begin(sender: object, request: HttpRequest, **kwargs: Any) -> None:
    del sender, kwargs
    begin(
        request.session,
        address=str(request.META.get("REMOTE_ADDR") or ""),
        agent=request.META.get("HTTP_USER_AGENT", ""),
    )
