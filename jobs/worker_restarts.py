"""How often worker processes had to be replaced and why, counted by host, ten minutes and reason.

A recycled or drained process is not a restart.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from jobs.models import RestartReason

SHOWN_HOURS = 24
LATELY_MINUTES = 30
OFTEN = 3  # so many within LATELY_MINUTES mean that workers keep restarting
BUCKET_S = 600
KEPT_BUCKETS = 7 * 24 * 6

# Buckets are counted from the epoch, by the database's clock.
NOTE_SQL = f"""
INSERT INTO orchestrator_worker_restarts AS known (host, ten_minutes, reason, count, last_at, last_detail)
VALUES (%(host)s, floor(extract(epoch FROM now()) / {BUCKET_S}), %(reason)s, 1, now(), %(detail)s)
ON CONFLICT (host, ten_minutes, reason) DO UPDATE
SET count = known.count + 1, last_at = now(), last_detail = excluded.last_detail
"""  # noqa: S608 # built from a constant
FORGET_SQL = f"""
DELETE FROM orchestrator_worker_restarts
WHERE ten_minutes < floor(extract(epoch FROM now()) / {BUCKET_S}) - {KEPT_BUCKETS}
"""  # noqa: S608 # built from constants
LATELY_SQL = """
SELECT host, reason, sum(count)::bigint, max(last_at), (array_agg(last_detail ORDER BY last_at DESC))[1]
FROM orchestrator_worker_restarts WHERE last_at > now() - make_interval(hours => %(hours)s)
GROUP BY host, reason ORDER BY max(last_at) DESC, host, reason
"""
# One JSON object, as part of a larger statement: reason → restarts on all hosts.
SUMS_SQL = f"""
SELECT COALESCE(json_object_agg(reason, number), '{{}}') FROM (
    SELECT reason, sum(count) AS number FROM orchestrator_worker_restarts
    WHERE last_at > now() - make_interval(hours => {SHOWN_HOURS}) GROUP BY reason) AS lately
"""  # noqa: S608 # built from a constant
# The restarts of the last LATELY_MINUTES; a bucket counts when all of it lies within them.
LATELY_COUNT_SQL = f"""
SELECT COALESCE(sum(count), 0)::bigint FROM orchestrator_worker_restarts
WHERE ten_minutes * {BUCKET_S} >= extract(epoch FROM now()) - {LATELY_MINUTES * 60}
"""  # noqa: S608 # built from constants


@dataclass(frozen=True, kw_only=True)
class Count:
    """The restarts of one host for one reason in the last day."""

    host: str
    reason: RestartReason
    count: int
    last_at: datetime
    last_detail: str


def note(reason: RestartReason, detail: str, host: str | None = None) -> None:
    """Count one restart, on this host unless another is named."""
    host = socket.gethostname() if host is None else host
    with connection.cursor() as cursor:
        cursor.execute(NOTE_SQL, {"host": host, "reason": reason.value, "detail": detail[:200]})


def forget() -> int:
    """Remove counts older than a week; returns how many rows there were."""
    with connection.cursor() as cursor:
        cursor.execute(FORGET_SQL)
        return int(cursor.rowcount)


def lately() -> list[Count]:
    """The restarts of the last day by host and reason, the latest first."""
    with connection.cursor() as cursor:
        cursor.execute(LATELY_SQL, {"hours": SHOWN_HOURS})
        rows = cursor.fetchall()
    return [
        Count(host=host, reason=RestartReason(reason), count=count, last_at=last_at, last_detail=detail)
        for host, reason, count, last_at, detail in rows
    ]


def in_words(sums: Mapping[str, int]) -> str:
    """How many restarts for each reason, such as `2 gave no sign of life, 1 ended unexpectedly`; empty without any."""
    return ", ".join(f"{sums[reason]:,} {reason.label}" for reason in RestartReason if sums.get(reason))


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
