"""Notifies idle workers of new work: NOTIFY here, LISTEN in `jobs.worker.listener`.

A lost notice costs only time, as every worker also polls. Behind a proxy that pools transactions LISTEN does not work:
nothing is notified, and workers poll about once a second.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connection

CHANNEL = "orchestrator_jobs"


def channel() -> str:
    """The channel on which workers listen; empty behind a pooling proxy."""
    return "" if settings.ORCH_DB_POOLED else CHANNEL


def announce() -> None:
    """Wake the workers when the current transaction commits (at once outside one)."""
    if channel():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [channel()])


def due_in_s(payload: str) -> float:
    """Seconds until the work of a notice is due, from its payload, which is that number or empty; 0 for now."""
    try:
        return max(0.0, float(payload))
    except ValueError:
        return 0.0
