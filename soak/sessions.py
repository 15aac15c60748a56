"""A database session that can be cut at every point: Django's own, which pauses around each statement and COMMIT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import psycopg2
from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper

from soak.actors import Actor, Died

PREPARING = "PREPARE"
# No other session notices when these begin or end, so the actor does not pause there.
NO_POINT = (
    PREPARING, "SAVEPOINT", "RELEASE", "ROLLBACK", "SELECT pg_notify", 'SELECT "orchestrator_custody"',
    'INSERT INTO "orchestrator_cust',
)  # fmt: skip


class Database:
    """What the sessions of one simulation share.

    Attributes:
        settings: as in Django's DATABASES.
        abandoned: sessions whose client is gone without the server's knowledge, with a transaction open.
        ending: process ids of ending server processes; their end must be awaited, as it releases locks.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.abandoned: list[AbandonedSession] = []
        self.ending: set[int] = set()


class AbandonedSession(NamedTuple):
    """A session whose client is gone without the server's knowledge.

    Attributes:
        paused_at_s: the simulated time since when the session is silent.
        raw: psycopg2's connection.
        committing: whether a COMMIT was sent that may still arrive.
    """

    paused_at_s: float
    raw: Any
    committing: bool


class ClosedConnection:
    """Replaces a connection that the client has lost."""

    closed = 1

    def close(self) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> NoReturn:
        raise psycopg2.InterfaceError("connection already closed")


class Session(DatabaseWrapper):
    """The session of one actor."""

    def __init__(self, database: Database, actor: Actor) -> None:
        super().__init__({**database.settings}, "default")
        self._database, self._actor = database, actor
        self.pid = 0
        self.execute_wrappers.append(self._around)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect under the name of the actor's action, with random numbers from the seed."""
        if self._actor.dead:
            raise Died
        raw = super().get_new_connection(conn_params)  # a new one: prepared statements would change the steps
        with raw.cursor() as cursor:
            seed, name = self._actor.rng.uniform(-1, 1), self._actor.action_name
            cursor.execute("SELECT setseed(%s), set_config('application_name', %s, false)", [seed, name])
        raw.commit()
        self.pid = raw.info.backend_pid
        return raw

    def set_application_name(self) -> None:
        """Name the session after the actor's current action; the action itself will find a broken connection."""
        raw = self.connection
        if raw is not None and not raw.closed:
            try:
                with raw.cursor() as cursor:
                    cursor.execute("SELECT set_config('application_name', %s, false)", [self._actor.action_name])
            except psycopg2.Error:
                pass

    def in_transaction(self) -> bool:
        """Whether a transaction is open and waits for its next statement."""
        raw = self.connection
        return (
            raw is not None
            and not raw.closed
            and raw.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INTRANS
        )

    def abandon(self, *, silently: bool) -> None:
        """Drop the session, as its process died.

        Args:
            silently: its host died too, so that the server does not notice.
        """
        raw = self.connection
        if raw is None or raw.closed:
            return
        if silently:
            committing = self._actor.point == "before COMMIT"  # it may have been sent
            self._database.abandoned.append(AbandonedSession(self._actor.paused_at_s, raw, committing))
        else:
            self._database.ending.add(self.pid)
            raw.close()

    def _around(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]  # noqa: FBT001 # Django's signature
    ) -> Any:  # fmt: skip
        what = _label(sql)
        if what.startswith(NO_POINT):
            if self._actor.dead:
                raise Died
            return execute(sql, params, many, context)
        self._actor.pause_at(f"before {what}")
        done = execute(sql, params, many, context)
        if not self.in_atomic_block and self._actor.pause_at(f"after {what}") == "lose":
            self._lose()
        return done

    def _commit(self) -> None:
        if self._actor.pause_at("before COMMIT") == "delay":
            self._database.abandoned.append(AbandonedSession(self._actor.paused_at_s, self.connection, committing=True))
            self.connection = ClosedConnection()
            raise OperationalError("the connection broke while COMMIT was under way")
        super()._commit()  # type: ignore[misc] # the stubs leave these four out
        if self._actor.pause_at("after COMMIT") == "lose":
            self._lose()

    def _lose(self) -> NoReturn:
        self._database.ending.add(self.pid)
        self.connection.close()
        raise OperationalError("the connection broke before the answer came")

    def _rollback(self) -> None:
        if not self._actor.dead:
            super()._rollback()  # type: ignore[misc]

    def _set_autocommit(self, autocommit: bool) -> None:  # noqa: FBT001 # Django's signature
        if not self._actor.dead:
            super()._set_autocommit(autocommit)  # type: ignore[misc]

    def _close(self) -> None:
        if not self._actor.dead:
            super()._close()  # type: ignore[misc]


_prepared_texts: dict[str, str] = {}  # name of a prepared statement → its text


def _label(sql: str) -> str:
    """A short name of a statement: what it does, for the queue's; else its first 30 characters."""
    plain = " ".join(str(sql).split())
    if plain.startswith("EXECUTE jobs_"):
        plain = _prepared_texts.get(plain.split()[1], plain)
    elif plain.startswith("PREPARE jobs_"):
        _prepared_texts[plain.split()[1]] = plain
        return PREPARING
    for mark, name in (
        ("WITH next AS", "claim"),
        ("WITH expired AS", "recover"), ("'completed', completed_at", "complete"),
        ("INSERT INTO orchestrator_idempotency", "remember key"), ("INSERT INTO orchestrator_jobs", "insert job"),
        ("SET progress =", "heartbeat"),
    ):  # fmt: skip
        if mark in plain:
            return name
    return plain[:30]
