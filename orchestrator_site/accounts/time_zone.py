"""The time zone that a person chose, shown beside UTC on every page.

It is read with the session and costs no query of its own, but for a user without a session (by client certificate).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.contrib.auth.models import User
from django.http import HttpRequest

from foundation.errors import InvalidRequestError
from orchestrator_site.models import Choices

# What of the IANA database names a place; the rest are old names and fixed offsets.
REGIONS = (
    "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific",
)  # fmt: skip
_reader: ContextVar[HttpRequest | None] = ContextVar("reader", default=None)


@cache
def names() -> tuple[str, ...]:
    """The zones to choose from, in order; none on a host without a time zone database."""
    return tuple(sorted(name for name in available_timezones() if name.partition("/")[0] in REGIONS))


@contextmanager
def shown_to(request: HttpRequest) -> Iterator[None]:
    """Within it, `current` is the zone of the user of `request`."""
    token = _reader.set(request)
    try:
        yield
    finally:
        _reader.reset(token)


def current() -> ZoneInfo | None:
    """The zone of whoever the page is made for; None where UTC is enough."""
    request = _reader.get()
    return _zone(chosen_by(request)) if request is not None else None


def chosen_by(request: HttpRequest) -> str:
    """The name of the zone that the user of `request` chose; empty for UTC only."""
    name = getattr(request.session, "time_zone", None)
    if name is None:
        name = (
            Choices.objects.filter(user__username=request.user.get_username())
            .values_list("time_zone", flat=True)
            .first()
            or ""
        )
        request.session.time_zone = name  # type: ignore[attr-defined] # for the other times of this page
    return str(name)


def choose(request: HttpRequest, user: User, name: str) -> None:
    """Show times in the zone `name` beside UTC from now on; an empty name means UTC only.

    Raises:
        InvalidRequestError: there is no such zone.
    """
    if name and name not in names():
        raise InvalidRequestError("There is no such time zone. Choose one from the list.")
    Choices.objects.update_or_create(user=user, defaults={"time_zone": name})
    request.session.time_zone = name  # type: ignore[attr-defined]


@cache
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None  # the host's database no longer has it
