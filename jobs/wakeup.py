"""Telling idle workers that there is work: NOTIFY here, LISTEN in `jobs.listener`.

A lost notice costs only time: every worker also looks by itself about once a second. Behind a proxy that pools
transactions nobody can listen, so there nobody notifies either.
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
