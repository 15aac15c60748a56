"""Telling idle workers that there is work: NOTIFY here, LISTEN in `jobs.worker.listener`.

A lost notice costs only time: every worker also looks by itself now and then. Behind a proxy that pools transactions
nobody can listen, so there nobody notifies either, and workers look about once a second.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connection

CHANNEL = "orchestrator_jobs"


def channel() -> str:
    """Where workers listen for notices; empty where nobody can."""
    return "" if settings.ORCH_DB_POOLED else CHANNEL


def announce() -> None:
    """Wake the workers when the current transaction commits (at once outside one)."""
    if channel():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [channel()])


def due_in_s(payload: str) -> float:
    """In how many seconds the work of a notice is due; 0 for now. The payload is that number, or empty."""
    try:
        return max(0.0, float(payload))
    except ValueError:
        return 0.0
