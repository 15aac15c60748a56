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
from django.db import connection

_PARAMETER = re.compile(r"%\((\w+)\)s")
_prepared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # driver's connection → names prepared there


def run(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement, prepared when it may be.

    Args:
        sql: with parameters as `%(name)s` whose types PostgreSQL can tell from their use.
        values: of all parameters.

    Returns:
        The rows.
    """
    with connection.cursor() as cursor:
        if settings.ORCH_DB_POOLED:
            cursor.execute(sql, values)
        else:
            name, prepare, execute = _texts(sql)
            here = _prepared.setdefault(cursor.cursor.connection, set())  # the driver's: soon found
            if name not in here:
                cursor.execute(prepare)
                here.add(name)  # it stays, also when the transaction is rolled back
            cursor.execute(execute, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


@cache
def _texts(sql: str) -> tuple[str, str, str]:
    """The statement's name, and the texts that prepare and execute it."""
    name = "jobs_" + hashlib.sha256(sql.encode()).hexdigest()[:16]
    places: dict[str, str] = {}
    text = _PARAMETER.sub(lambda match: places.setdefault(match[1], f"${len(places) + 1}"), sql)
    return name, f"PREPARE {name} AS {text}", f"EXECUTE {name} ({', '.join(f'%({key})s' for key in places)})"
