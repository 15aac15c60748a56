"""A read-write lock per incident for the whole deployment: one restore, or any number of readers.

An advisory lock of the database session: it is held from planning until the completing transaction has committed,
and the database releases it when the worker dies.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from django.conf import settings
from django.db import connection

from jobs.errors import PermanentError

PAUSE_S = 0.25


def acquire(incident_id: str, waiting: Callable[[], None], *, shared: bool = False) -> None:
    """Acquire the lock, waiting if necessary.

    Args:
        incident_id: the incident.
        waiting: called while it waits; raises to give up.
        shared: for reading, which many may do at once.

    Raises:
        PermanentError: the database is reached through a pool, which does not support session locks.
    """
    if settings.ORCH_DB_POOLED:
        raise PermanentError(
            "database_pooled",
            "Restoring, and bundling what was restored, need a direct connection to PostgreSQL (ORCH_DB_POOLED).",
        )
    ask = "SELECT pg_try_advisory_lock_shared(%s)" if shared else "SELECT pg_try_advisory_lock(%s)"
    while not _ask(ask, incident_id):
        waiting()
        time.sleep(PAUSE_S)


def release(incident_id: str, *, shared: bool = False) -> None:
    """Release the lock, if this session holds it."""
    _ask("SELECT pg_advisory_unlock_shared(%s)" if shared else "SELECT pg_advisory_unlock(%s)", incident_id)


def key_of(incident_id: str) -> int:
    """The number under which the database knows the incident's lock."""
    return int.from_bytes(hashlib.sha256(b"restore:" + incident_id.encode()).digest()[:8], signed=True)


def _ask(sql: str, incident_id: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql, [key_of(incident_id)])
        return bool(cursor.fetchone()[0])
