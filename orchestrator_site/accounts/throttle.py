"""Limits failed sign-ins by user name and address, counted in the database by django-axes.

A lockout looks and takes as long as any other refusal, so it reveals neither which names exist nor that a password was
right. The log records every lockout, custody those of existing users.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.exceptions import AxesBackendPermissionDenied
from axes.handlers.proxy import AxesProxyHandler
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.dispatch import receiver
from django.http import HttpRequest

from custody import chain
from foundation.principal import Principal

log = logging.getLogger(__name__)


class ThrottledBackend(AxesStandaloneBackend):  # type: ignore[misc] # axes has no type information
    """Refuses a sign-in whose user name failed too often from this address; never authenticates anyone."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> None:
        """Return None, so that the next backend authenticates.

        Raises:
            AxesBackendPermissionDenied: locked out; the password is hashed first, so that the response time is equal.
        """
        if request is None:
            return  # called without a request, by a command or a test
        try:
            super().authenticate(request, username=username, password=password, **kwargs)
        except AxesBackendPermissionDenied:
            make_password(password)
            raise


def address_of(request: HttpRequest) -> str | None:
    """The peer's address from the connection; None for a unix socket."""
    text = str(request.META.get("REMOTE_ADDR") or "").partition("%")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def unlock(principal: Principal, username: str) -> int:
    """Clear the failed sign-ins of a user name, from every address.

    Returns:
        From how many addresses they came.
    """
    forgotten = int(AxesProxyHandler.reset_attempts(username=username))
    if forgotten:
        chain.record(principal, "user.unlock", "user", username, details={"forgotten": forgotten})
    return forgotten


@receiver(user_locked_out, dispatch_uid="orchestrator_site.accounts.throttle")
def _record_lockout(sender: object, request: Any, username: str | None, ip_address: str | None, **kwargs: Any) -> None:
    """Log and record the start of a lockout once, not the attempts during it."""
    del sender, kwargs
    if request.axes_failures_since_start is None:
        return
    address = ip_address or ""
    known = bool(username) and User.objects.filter(username=username).exists()
    # An unknown name may be a password typed into the wrong field: it is not logged.
    log.warning("sign-in locked for %s from %s", username if known else "an unknown name", address or "no address")
    if known:
        who = Principal(name="anonymous", authenticated_by="none", address=address)
        minutes = settings.ORCH_SIGN_IN_COOL_OFF_MINUTES
        details = {"failures": request.axes_failures_since_start, "minutes": minutes}
        chain.record(who, "user.lock_out", "user", str(username), outcome="too_many_failures", details=details)
