"""Statements that the server plans once for each connection: for those that every job needs, planning is half the cost.

A prepared statement belongs to the session. Where sessions are not the process's own (behind a pooling proxy), nothing
is prepared and each call sends the whole text; the result is the same.
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
# The driver's connection → statement → the text that executes it there.
_prepared: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()


def run(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement, prepared when the session is this process's own.

    Args:
        sql: with parameters as `%(name)s` whose types PostgreSQL can infer from their use.
        values: of the parameters.

    Returns:
        The rows.

    Raises:
        django.db.Error: as from any cursor of Django's.
    """
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        if settings.ORCH_DB_POOLED:
            cursor.execute(sql, values)
        else:
            known = _prepared.setdefault(cursor.connection, {})
            if sql not in known:
                known[sql] = _prepare(cursor, sql)  # it stays, also when the transaction is rolled back
            cursor.execute(known[sql], values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _prepare(cursor: Any, sql: str) -> str:
    """Prepare the statement in this session; the text that executes it."""
    name = "jobs_" + hashlib.sha256(sql.encode()).hexdigest()[:16]
    places: dict[str, str] = {}
    numbered = _PARAMETER.sub(lambda one: places.setdefault(one[1], f"${len(places) + 1}"), sql)
    cursor.execute(f"PREPARE {name} AS {numbered}")
    return f"EXECUTE {name} ({', '.join(f'%({key})s' for key in places)})"
