"""Empties the database between transactional tests, quickly.

Django truncates every table and recreates permissions, content types and role groups: thousands of files and hundreds
of statements after each of some hundred tests. Here one statement empties the tables that have rows, except those that
migrations fill; if a test has changed these, Django's own flush runs.
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test import TransactionTestCase

FILLED_BY_MIGRATIONS = ("django_content_type", "auth_permission", "auth_group", "auth_group_permissions")
# As a replica, the session runs no triggers, which keep custody append-only and check references. A large table is
# truncated, as deleted rows slow down every later scan.
EMPTY = """
DO $$
DECLARE name text; filled boolean;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOREACH name IN ARRAY %s::text[] LOOP
        IF pg_relation_size(name::regclass) > 1000000 THEN
            EXECUTE format('TRUNCATE %%I CASCADE', name);
        ELSE
            EXECUTE format('SELECT EXISTS (SELECT FROM %%I)', name) INTO filled;
            IF filled THEN EXECUTE format('DELETE FROM %%I', name); END IF;
        END IF;
    END LOOP;
END $$"""
CONTENT = "(SELECT md5(string_agg(t::text, ',' ORDER BY t.id)) FROM {} t)"
STATE = "SELECT " + ", ".join(CONTENT.format(table) for table in FILLED_BY_MIGRATIONS)


class Emptying:
    """Replaces Django's flush in the transactional tests of one session."""

    def __init__(self) -> None:
        self._django: Any = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
        self._tables: list[str] = []
        self._before: Any = None

    def install(self) -> None:
        """Record the tables that migrations have filled, and replace Django's flush."""
        emptying = self
        with connection.cursor() as cursor:
            self._before = self._state(cursor)
        known = connection.introspection.django_table_names(only_existing=True, include_views=False)
        self._tables = [name for name in known if name not in FILLED_BY_MIGRATIONS]

        def teardown(case: TransactionTestCase) -> None:
            emptying.empty(case)

        TransactionTestCase._fixture_teardown = teardown  # type: ignore[attr-defined]

    def empty(self, case: TransactionTestCase) -> None:
        """Empty the database down to the rows of the migrations."""
        with connection.cursor() as cursor:
            cursor.execute(EMPTY, [self._tables])
            changed = self._state(cursor) != self._before
        if changed:
            self._django(case)
            with connection.cursor() as cursor:
                self._before = self._state(cursor)  # the same permissions, with new ids

    def _state(self, cursor: Any) -> Any:
        cursor.execute(STATE)
        return cursor.fetchone()
