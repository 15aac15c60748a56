"""Statements that the server plans once for each connection: for those that every job needs, planning is half the cost.

What stays the same for a worker's life is written into the statement that is prepared: the server reads it once.

A prepared statement belongs to the session. Where sessions are not a worker's own (behind a pooling proxy), nothing is
prepared and each call sends the whole text; the meaning is the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

_PARAMETER = re.compile(r"%\((\w+)\)s")
Fixed = tuple[tuple[str, Any], ...]  # parameters' names and values; a tuple stands for an array
# Driver's connection → statement and what is fixed in it → the text that executes it there.
_prepared: WeakKeyDictionary[Any, dict[tuple[str, Fixed], str]] = WeakKeyDictionary()


def run(sql: str, values: Mapping[str, Any], fixed: Fixed = ()) -> list[tuple[Any, ...]]:
    """Run a statement, prepared when it may be.

    Django's cursor is used where somebody watches statements through it; making one for each statement takes a worker
    longer than all else that it does between two short jobs, so otherwise the driver's own is.

    Args:
        sql: with parameters as `%(name)s` whose types PostgreSQL can tell from their use.
        values: of the parameters that differ from call to call.
        fixed: those that hardly ever do; each set of them is a statement of its own for as long as the session lasts.

    Returns:
        The rows.

    Raises:
        django.db.Error: as from any cursor of Django's.
    """
    session = connections[DEFAULT_DB_ALIAS]
    if settings.ORCH_DB_POOLED or session.execute_wrappers or session.queries_logged:
        with session.cursor() as cursor:
            return _run(cursor, session.connection, sql, values, fixed)
    session.close_if_health_check_failed()
    session.ensure_connection()
    session.validate_no_broken_transaction()
    with session.wrap_database_errors, session.connection.cursor() as cursor:
        return _run(cursor, session.connection, sql, values, fixed)


def _run(cursor: Any, raw: Any, sql: str, values: Mapping[str, Any], fixed: Fixed) -> list[tuple[Any, ...]]:
    if settings.ORCH_DB_POOLED:
        cursor.execute(sql, {**values, **{name: _plain(value) for name, value in fixed}})
    else:
        here = _prepared.setdefault(raw, {})
        execute = here.get((sql, fixed))
        if execute is None:
            execute = _prepare(cursor, sql, fixed)
            here[sql, fixed] = execute  # it stays, also when the transaction is rolled back
        cursor.execute(execute, values)
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _prepare(cursor: Any, sql: str, fixed: Fixed) -> str:
    """Prepare the statement in this session; the text that executes it."""
    name = "jobs_" + hashlib.sha256(repr((sql, fixed)).encode()).hexdigest()[:16]
    literals = {key: cursor.mogrify("%s", [_plain(value)]).decode() for key, value in fixed}
    places: dict[str, str] = {}

    def spell(parameter: re.Match[str]) -> str:
        key = parameter[1]
        return literals[key] if key in literals else places.setdefault(key, f"${len(places) + 1}")

    cursor.execute(f"PREPARE {name} AS {_PARAMETER.sub(spell, sql)}")
    return f"EXECUTE {name} ({', '.join(f'%({key})s' for key in places)})"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
