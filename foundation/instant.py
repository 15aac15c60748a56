"""A moment as text: RFC 3339 in UTC, with microseconds and `Z`, everywhere the same."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """`moment`, which knows its offset from UTC, such as `2026-01-02T03:04:05.000006Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
