"""A database connection for probes: it gives up within seconds, whatever the server or the network does.

Apart from Django's own connections, which may wait as long as work needs; nothing is written through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from django.db import connections
from psycopg2.extensions import cursor as Cursor  # noqa: N812 # psycopg2 names the class like an instance

GIVE_UP_S = 2  # libpq waits at least this long for a connection
DatabaseError = psycopg2.Error


@contextmanager
def quick_cursor() -> Iterator[Cursor]:
    """A read-only cursor on a connection of its own, closed afterwards.

    Raises:
        DatabaseError: the server does not answer, or not in time.
    """
    given = connections["default"].get_connection_params()
    connection = psycopg2.connect(
        host=given.get("host"),
        port=given.get("port"),
        dbname=given.get("dbname"),
        user=given.get("user"),
        password=given.get("password"),
        application_name="ransomeye-probe",
        connect_timeout=GIVE_UP_S,
        tcp_user_timeout=GIVE_UP_S * 1000,
        options=f"-c statement_timeout={GIVE_UP_S}s -c default_transaction_read_only=on",
    )
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
