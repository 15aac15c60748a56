"""Database sessions of long-lived processes, with bounded waits on half-open connections.

Keepalives notice a peer that vanished. They do not notice a proxy or firewall that still acknowledges bytes and
forwards none, so each thread also bounds how long it waits for an answer; the connection is then closed and the caller
gets Django's OperationalError, as for any other broken connection.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg2 import extensions

CONNECT_S = 5.0
ANSWER_S = 60.0
STATEMENT_S = 600
IDLE_LEASES = 20
LOOK_S = 0.5
CONNECTED = (extensions.STATUS_READY, extensions.STATUS_BEGIN, extensions.STATUS_PREPARED)

# Ignored on a unix socket; over TCP a peer that vanished is noticed within about 15 seconds.
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


# The server's half of it, so that it ends the session, and the locks, of a host that is gone.
SERVER_KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


class _Limits(threading.local):
    """Limits of the current thread."""

    statement_s: int = STATEMENT_S
    answer_s: float = ANSWER_S
    over: Callable[[], bool] | None = None


_limits = _Limits()

# Put before a statement with a LIMIT that may match most rows, where a sequential scan ends sooner than any index scan.
# It holds until the transaction ends.
ANY_PLAN = "SELECT set_config('enable_seqscan', 'on', true);"


def prepare() -> None:
    """Put keepalives and limits on every connection that this process opens from now on."""
    connections["default"].settings_dict["OPTIONS"].update(KEEPALIVE)
    connection_created.connect(_limit_session, dispatch_uid="foundation.db_session")
    extensions.set_wait_callback(_wait)
    connection.close()


def idle_in_completion_s() -> int:
    """How long the server lets a session be silent inside the transaction that completes a job, in seconds.

    A large record or a busy machine makes a sound worker silent for long, so the limit is far above what either takes.
    Frozen workers are ended by their supervisor, and the sessions of lost hosts by keepalives, long before.
    """
    return max(STATEMENT_S, IDLE_LEASES * int(settings.ORCH_LEASE_SECONDS))


def limit_statements(seconds: int) -> None:
    """Let the server end every statement of this thread's next connections after `seconds`, and wait little longer."""
    _limits.statement_s = seconds
    _limits.answer_s = seconds + 1


@contextlib.contextmanager
def answers_within(seconds: float, *, over: Callable[[], bool] | None = None) -> Iterator[None]:
    """Bound how long this thread waits for each answer of the database, on this side only.

    Args:
        seconds: the bound.
        over: looked at while waiting; once true, the answer is of no use any more and the wait ends.
    """
    before = (_limits.answer_s, _limits.over)
    _limits.answer_s, _limits.over = seconds, over
    try:
        yield
    finally:
        _limits.answer_s, _limits.over = before


def one_line(error: BaseException) -> str:
    """What an error says, on one line: libpq's own messages have several."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _limit_session(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Set the server's half of the limits; behind a pooling proxy a session's settings would be somebody else's.

    Statements are planned once a session. Planned while the tables were small, they would read them whole for as long
    as the session lasts; so what has an index goes by it from the beginning.
    """
    if settings.ORCH_DB_POOLED:
        return
    with connection.cursor() as cursor:
        # The interval makes the server end a statement whose client has closed the connection meanwhile.
        chosen = {
            "statement_timeout": str(_limits.statement_s * 1000),
            "client_connection_check_interval": "2s",
            "enable_seqscan": "off",
            **SERVER_KEEPALIVE,
        }
        cursor.execute(
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS chosen (name, value)",
            [list(chosen), list(chosen.values())],
        )


def _wait(raw: Any) -> None:
    """Wait until libpq has what it waits for; psycopg2 closes the connection when this raises."""
    limit_s = _limits.answer_s if raw.status in CONNECTED else CONNECT_S
    give_up_at = time.monotonic() + limit_s
    while (state := raw.poll()) != extensions.POLL_OK:
        poll = select.poll()
        poll.register(raw.fileno(), select.POLLOUT if state == extensions.POLL_WRITE else select.POLLIN)
        while not poll.poll(LOOK_S * 1000):
            if time.monotonic() > give_up_at:
                raise psycopg2.OperationalError(f"the database did not answer within {limit_s:g} s")
            if _limits.over is not None and _limits.over():
                raise psycopg2.OperationalError("the lease was over before the database answered")
