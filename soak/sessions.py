"""A database session that can be cut at every point: Django's own, with a stop around each statement and COMMIT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import psycopg2
from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper

from soak.actors import Actor, Died

PREPARING = "PREPARE"
# Neither begins nor ends anything that another could notice: no point there.
QUIET = (
    PREPARING, "SAVEPOINT", "RELEASE", "ROLLBACK", "SELECT pg_notify", 'SELECT "orchestrator_custody"',
    'INSERT INTO "orchestrator_cust',
)  # fmt: skip


class Line:
    """What the sessions of one world share.

    Attributes:
        ghosts: sessions that the server still has and nobody speaks to any more, with a transaction open; each with
            the world's time when that began.
        ending: process ids of server processes whose end must be awaited, as it releases locks.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.ghosts: list[Ghost] = []
        self.ending: set[int] = set()


class Ghost(NamedTuple):
    """A session that nobody speaks to any more: since when, the driver's connection, whether a COMMIT is under way."""

    since_s: float
    raw: Any
    committing: bool


class Severed:
    """Takes the place of a connection that is gone on this side."""

    closed = 1

    def close(self) -> None:
        """Nothing is left to close."""

    def __getattr__(self, name: str) -> NoReturn:
        raise psycopg2.InterfaceError("connection already closed")


class Session(DatabaseWrapper):
    """The session of one actor."""

    def __init__(self, line: Line, actor: Actor) -> None:
        super().__init__({**line.settings}, "default")
        self._line, self._actor = line, actor
        self.pid = 0
        self.execute_wrappers.append(self._around)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A session under the name of the actor's deed, its random numbers those of the seed."""
        if self._actor.dead:
            raise Died
        raw = super().get_new_connection(conn_params)  # never one of another seed: what that prepared would show
        with raw.cursor() as cursor:
            seed, name = self._actor.rng.uniform(-1, 1), self._actor.deed_name
            cursor.execute("SELECT setseed(%s), set_config('application_name', %s, false)", [seed, name])
        raw.commit()
        self.pid = raw.info.backend_pid
        return raw

    def introduce(self) -> None:
        """Put the name of the actor's present deed on the session; a broken one is left for the deed to find."""
        raw = self.connection
        if raw is not None and not raw.closed:
            try:
                with raw.cursor() as cursor:
                    cursor.execute("SELECT set_config('application_name', %s, false)", [self._actor.deed_name])
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
        """The process dies; silently: its host is gone, and the server is not told."""
        raw = self.connection
        if raw is None or raw.closed:
            return
        if silently:
            committing = self._actor.point == "before COMMIT"  # it may have been sent with the last breath
            self._line.ghosts.append(Ghost(self._actor.since_s, raw, committing))
        else:
            self._line.ending.add(self.pid)
            raw.close()

    def _around(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]  # noqa: FBT001 # Django's signature
    ) -> Any:  # fmt: skip
        what = _told(sql)
        if what.startswith(QUIET):
            if self._actor.dead:
                raise Died
            return execute(sql, params, many, context)
        self._actor.stop_at(f"before {what}")
        done = execute(sql, params, many, context)
        if not self.in_atomic_block and self._actor.stop_at(f"after {what}") == "lose":
            self._lose()
        return done

    def _commit(self) -> None:
        if self._actor.stop_at("before COMMIT") == "delay":
            self._line.ghosts.append(Ghost(self._actor.since_s, self.connection, committing=True))
            self.connection = Severed()
            raise OperationalError("the connection broke while COMMIT was under way")
        super()._commit()  # type: ignore[misc] # the stubs leave these four out
        if self._actor.stop_at("after COMMIT") == "lose":
            self._lose()

    def _lose(self) -> NoReturn:
        self._line.ending.add(self.pid)
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


def _told(sql: str) -> str:
    """A statement's first words, or for those of the queue the names of what they do."""
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
