"""Telling idle workers that there is work: NOTIFY here, LISTEN in `jobs.listener`.

A lost notice costs only time: every worker also looks by itself about once a second.
"""

from __future__ import annotations

from django.db import connection

CHANNEL = "orchestrator_jobs"


def announce() -> None:
    """Wake the workers when the current transaction commits (at once outside one)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
