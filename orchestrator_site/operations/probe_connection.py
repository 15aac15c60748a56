"""Database connections for probes, separate from Django's, with a time limit.

A slow server is not down, so the limit is generous by default; callers report "slow" meanwhile instead of stopping the
probe early. The connections are read-only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from django.db import connections
from psycopg2.extensions import cursor as Cursor  # noqa: N812 # psycopg2 names the class like an instance

GIVE_UP_S = 8  # below Prometheus's usual ten seconds for a scrape, so that a scrape still gets the rest
DatabaseError = psycopg2.Error


class NoAnswerError(psycopg2.OperationalError):
    """The database neither refused nor answered within the limit."""


@contextmanager
def quick_cursor(give_up_s: int = GIVE_UP_S) -> Iterator[Cursor]:
    """A read-only cursor on a connection of its own, closed afterwards.

    Args:
        give_up_s: how long connecting may take, and each statement, in seconds; libpq knows whole ones from 2 on.

    Raises:
        NoAnswerError: there was no answer within the limit.
        DatabaseError: the server refuses, or cannot be reached.
    """
    given = connections["default"].get_connection_params()
    began = time.monotonic()
    try:
        connection = psycopg2.connect(
            host=given.get("host"),
            port=given.get("port"),
            dbname=given.get("dbname"),
            user=given.get("user"),
            password=given.get("password"),
            application_name="ransomeye-probe",
            connect_timeout=give_up_s,
            tcp_user_timeout=give_up_s * 1000,
            options=f"-c statement_timeout={give_up_s}s -c default_transaction_read_only=on",
        )
    except psycopg2.OperationalError as error:
        # libpq tells a timeout from a refusal in words only, and those are translated. It counts in whole seconds.
        if time.monotonic() - began >= give_up_s - 1:
            raise NoAnswerError(str(error)) from error
        raise
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    except psycopg2.errors.QueryCanceled as error:
        raise NoAnswerError(str(error)) from error
    finally:
        connection.close()
