"""Statements that the server plans once for each connection: for those that every job needs, planning is half the cost.

A prepared statement belongs to the session. Where sessions are not a worker's own (behind a pooling proxy), nothing is
prepared and each call sends the whole text; the meaning is the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

_PARAMETER = re.compile(r"%\((\w+)\)s")
_prepared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # driver's connection → names prepared there


def run(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement, prepared when it may be.

    Django's cursor is used where somebody watches statements through it; making one for each statement takes a worker
    longer than all else that it does between two short jobs, so otherwise the driver's own is.

    Args:
        sql: with parameters as `%(name)s` whose types PostgreSQL can tell from their use.
        values: of all parameters.

    Returns:
        The rows.

    Raises:
        django.db.Error: as from any cursor of Django's.
    """
    session = connections[DEFAULT_DB_ALIAS]
    if settings.ORCH_DB_POOLED or session.execute_wrappers or session.queries_logged:
        with session.cursor() as cursor:
            return _run(cursor, session.connection, sql, values)
    session.ensure_connection()
    session.validate_no_broken_transaction()
    with session.wrap_database_errors, session.connection.cursor() as cursor:
        return _run(cursor, session.connection, sql, values)


def _run(cursor: Any, raw: Any, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    if not settings.ORCH_DB_POOLED:
        name, prepare, sql = _texts(sql)
        here = _prepared.setdefault(raw, set())
        if name not in here:
            cursor.execute(prepare)
            here.add(name)  # it stays, also when the transaction is rolled back
    cursor.execute(sql, values)
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


@cache
def _texts(sql: str) -> tuple[str, str, str]:
    """The statement's name, and the texts that prepare and execute it."""
    name = "jobs_" + hashlib.sha256(sql.encode()).hexdigest()[:16]
    places: dict[str, str] = {}
    text = _PARAMETER.sub(lambda match: places.setdefault(match[1], f"${len(places) + 1}"), sql)
    return name, f"PREPARE {name} AS {text}", f"EXECUTE {name} ({', '.join(f'%({key})s' for key in places)})"
