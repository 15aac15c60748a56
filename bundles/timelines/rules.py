"""How one source writes severities and times, where its records alone do not say it; `docs/timelines.md` explains them.

A source's entry in the manifest carries the rules, so that whoever reads the bundle reads its records in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from bundles.timelines import severities
from bundles.timelines.severities import Scale

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # per second
RULE_KEYS = ("severities", "times")  # in the entry of a source
TIME_KEYS = ("zone", "numbers")
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,3}", re.ASCII)


class RuleError(ValueError):
    """A rule is unknown; the message says which there are."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of one source.

    Attributes:
        scale: reads a bare number as a severity; None: such a number stays unrated.
        zone: of texts without a zone; None: they are read as UTC.
        per_second: units per second of bare numbers; None: the unit is the one that fits.
    """

    scale: Scale | None = None
    zone: tzinfo | None = None
    per_second: int | None = None

    @property
    def words(self) -> str:
        """Equal for equal rules; empty for none."""
        if self == NO_RULES:
            return ""
        return f"{self.scale.name if self.scale else ''} {self.zone or ''} {self.per_second or ''}"


NO_RULES = Rules()


def scale_names() -> list[str]:
    """The names by which a scale can be chosen."""
    return sorted({scale.name.lower() for scale in severities.SCALES})


def scale_of(name: str) -> Scale:
    """The scale of that name.

    Raises:
        RuleError: there is none.
    """
    for scale in severities.SCALES:
        if scale.name.lower() == name:
            return scale
    raise RuleError(f"there is no such scale; there are {', '.join(scale_names())}.")


def zone_of(name: str) -> tzinfo:
    """A time zone of the IANA database, such as `Europe/Berlin`, or a fixed offset, such as `+02:00`.

    Raises:
        RuleError: there is none.
    """
    if fixed := _OFFSET.fullmatch(name):
        sign, hours, minutes = fixed.groups()
        if int(hours) <= 14 and int(minutes) <= 59:
            return timezone(timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1))
    elif _ZONE_NAME.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            pass
    raise RuleError("this is no time zone; write one such as Europe/Berlin, or an offset such as +02:00.")


def unit_of(name: str) -> int:
    """Units per second.

    Raises:
        RuleError: there is no such unit.
    """
    if name not in UNITS:
        raise RuleError(f"there is no such unit; there are {', '.join(UNITS)}.")
    return UNITS[name]


def of_entry(entry: Any) -> Rules:
    """The rules in a source's entry of a manifest.

    What cannot be read there is no rule: another version may write rules that this one does not know.
    """
    if not isinstance(entry, Mapping):
        return NO_RULES
    times = entry.get("times")
    times = times if isinstance(times, Mapping) else {}

    def read(made: Any, value: Any) -> Any:
        try:
            return made(value) if isinstance(value, str) else None
        except RuleError:
            return None

    return Rules(
        scale=read(scale_of, entry.get("severities")),
        zone=read(zone_of, times.get("zone")),
        per_second=read(unit_of, times.get("numbers")),
    )
