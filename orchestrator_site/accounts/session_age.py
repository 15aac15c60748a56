"""When a console session ends by itself: after idling (ORCH_SESSION_IDLE_MINUTES) and at an age (ORCH_SESSION_HOURS).

Only what a person does counts as activity: opening a page, sending a form. A page that refreshes itself does not, so a
tab that was left open overnight is signed out. A session without its times has ended.
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
WRITTEN_EVERY_S = 30  # activity is noted this often at most, so that browsing does not write at each page
MAX_AGENT = 200
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SessionAgeMiddleware:
    """Signs out a session that has ended when its user is first asked for; `request.session_ended` tells why."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request; what asks for no user, such as /health, still needs no database."""
        request.user = SimpleLazyObject(lambda: _living_user(request))  # type: ignore[assignment]
        return self.get_response(request)


def begin(session: SessionBase, *, address: str = "", agent: str = "") -> None:
    """Start the clocks of a session that somebody has just signed in to."""
    session[BEGAN] = session[SEEN] = time.time()
    session[ADDRESS], session[AGENT] = address, "".join(filter(str.isprintable, agent))[:MAX_AGENT]


def is_activity(request: HttpRequest) -> bool:
    """Whether a person did this: a form, or a page that was gone to; not a live part, a script's call or a file."""
    if request.method not in SAFE_METHODS:
        return True
    return not request.headers.get("HX-Request") and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def why_ended(session: SessionBase) -> str:
    """`idle`, `age`, or empty while the session lives."""
    now = time.time()
    if now - float(session.get(BEGAN, 0)) > settings.ORCH_SESSION_HOURS * 3600:
        return AGE
    return IDLE if now - float(session.get(SEEN, 0)) > settings.ORCH_SESSION_IDLE_MINUTES * 60 else ""


def _living_user(request: HttpRequest) -> AbstractBaseUser | AnonymousUser:
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
