"""Database sessions of long-lived processes: a half-dead connection is noticed, a short statement stays short."""

from __future__ import annotations

import threading
from typing import Any

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

# Ignored on a unix socket; over TCP a peer that vanished is noticed within about 15 seconds.
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

_limits = threading.local()


def prepare() -> None:
    """Ask for keepalives on every connection that this process opens from now on."""
    connections["default"].settings_dict["OPTIONS"].update(KEEPALIVE)
    connection_created.connect(_limit_session, dispatch_uid="jobs.session")
    connection.close()


def limit_statements(seconds: int) -> None:
    """Let the server end every statement of this thread's connections after `seconds`."""
    _limits.statement_ms = seconds * 1000


def _limit_session(connection: BaseDatabaseWrapper, **_: Any) -> None:
    statement_ms = getattr(_limits, "statement_ms", None)
    if statement_ms is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(statement_ms)])
