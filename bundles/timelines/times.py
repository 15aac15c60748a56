"""Reads the time of an event exactly, or not at all.

A wrong date is worse than none, so only unambiguous formats are read; `docs/timelines.md` lists them. Numbers are read
from their digits and never converted to a float.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNDATED = 2**63 - 1

# A number is a count of the one of these units that puts it into the years 1990 to 2100. No number fits two units.
FIRST_OF_EPOCHS_US, END_OF_EPOCHS_US = 631_152_000 * 10**6, 4_133_980_800 * 10**6
UNITS = (  # units per second; seconds before 1970 at which the count begins
    (1, 0),
    (10**3, 0),
    (10**6, 0),
    (10**9, 0),
    (10**7, 11_644_473_600),  # FILETIME of Windows, since 1601
)

LONGEST = 64
NUMBER = re.compile(r"(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d\d?)?", re.ASCII | re.IGNORECASE)
ZONE = r"(?: ?(?P<zone>Z|UTC|GMT|[+-]00:?00 UTC|(?P<sign>[+-])(?P<off_hour>\d\d)(?::?(?P<off_minute>\d\d))?))?"
SECOND = r"(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?"
DAY = r"(?P<year>\d{4})(?P<dash>[-/])(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
WITH_SIGNS = DAY + rf"(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::{SECOND})?{ZONE})?"
WITHOUT_SIGNS = rf"(?P<year>\d{{4}})(?P<month>\d\d)(?P<day>\d\d)T(?P<hour>\d\d)(?P<minute>\d\d)(?:{SECOND})?{ZONE}"
CALENDARS = tuple(re.compile(form, re.ASCII | re.IGNORECASE) for form in (WITH_SIGNS, WITHOUT_SIGNS))


def read(value: Any, *, zone: tzinfo | None = None, per_second: int | None = None) -> tuple[int, bool]:
    """Read one JSON value: a string, or a number of any class whose `str()` is its original text.

    Args:
        value: the value.
        zone: of texts that name none; UTC if None. A local time that the zone has twice or never is not read.
        per_second: units per second of numbers; the one that fits if None.

    Returns:
        Microseconds since 1970 in UTC (finer digits are dropped), or `UNDATED`; and whether it has a time zone, which
        is true for numbers.
    """
    if value is None or isinstance(value, bool | list | dict):
        return UNDATED, False
    text = str(value).strip()
    if len(text) > LONGEST:
        return UNDATED, False
    if NUMBER.fullmatch(text):
        return _epoch(Fraction(text), per_second), True
    for calendar in CALENDARS:
        if parts := calendar.fullmatch(text):
            at_us = _calendar(parts.groupdict())
            if zone is None or parts["zone"] is not None or at_us == UNDATED:
                return at_us, parts["zone"] is not None
            return _in_zone(at_us, zone), False
    return UNDATED, False


def _epoch(count: Fraction, per_second: int | None) -> int:
    for in_a_second, seconds_before_1970 in UNITS if per_second is None else ((per_second, 0),):
        at_us = count.numerator * 10**6 // (count.denominator * in_a_second) - seconds_before_1970 * 10**6
        if FIRST_OF_EPOCHS_US <= at_us < END_OF_EPOCHS_US:
            return at_us
    return UNDATED


def _in_zone(at_us: int, zone: tzinfo) -> int:
    """A local time, counted as if it were UTC, as the moment that it is in `zone`."""
    local = EPOCH.replace(tzinfo=None) + timedelta(microseconds=at_us)
    try:
        found = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    except (ValueError, OverflowError):
        return UNDATED
    return _since_1970(found.pop()) if len(found) == 1 else UNDATED


def _calendar(parts: dict[str, str | None]) -> int:
    """A date with or without a time of day; UTC if it has no zone."""
    names = ("year", "month", "day", "hour", "minute", "second", "off_hour", "off_minute")
    year, month, day, hour, minute, second, off_hour, off_minute = (int(parts[name] or 0) for name in names)
    fraction_us = int(((parts["fraction"] or "") + "000000")[:6])
    is_end_of_day = hour == 24 and not (minute or second or int(parts["fraction"] or 0))
    if not (hour < 24 or is_end_of_day) or minute > 59 or second > 60 or off_hour > 23 or off_minute > 59:
        return UNDATED
    offset = timedelta(hours=off_hour, minutes=off_minute) * (-1 if parts["sign"] == "-" else 1)
    since_midnight = timedelta(hours=hour, minutes=minute, seconds=second) - offset
    try:
        moment = datetime(year, month, day, tzinfo=UTC) + since_midnight
    except (ValueError, OverflowError):
        return UNDATED
    if second == 60:
        # A leap second is the last of a month in UTC. Counts since 1970 have none, so it is read as the next second.
        return _since_1970(moment) if (moment.day, moment.hour, moment.minute) == (1, 0, 0) else UNDATED
    return _since_1970(moment) + fraction_us


def _since_1970(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
