"""Runs seeds of the simulation in a database of its own with the product's tables, and a folder for files.

During a run the product's modules read the clock of the running actor.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import types
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg2
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.utils import timezone

from soak import actions
from soak.actors import ActorTime, current
from soak.driver import Driver
from soak.model import Model, Trace
from soak.rules import BrokenRuleError
from soak.schema import SETUP, Control
from soak.sessions import Database

MODULES_WITH_A_CLOCK = (
    "jobs.worker.attempt_reporter",
    "jobs.worker.progress",
    "jobs.worker.completion",
    "jobs.worker.attempt",
    "jobs.worker.job_log",
)


class Runner:
    """Runs seeds, one after the other.

    Args:
        database: name of the database; dropped and created on the server of Django's settings.
        restart: crashes the server and starts it again; `None` ends all sessions instead, for a server that is shared.
    """

    def __init__(self, database: str, restart: Callable[[], None] | None = None) -> None:
        self._crash_and_start = restart
        self.database = Database({**connections.settings["default"], "NAME": database})
        # Off is safe while the server is never crashed, and steps need not wait for a disk.
        _create(self.database, synchronous_commit="on" if restart is not None else "off")
        self._control = Control(self.database)
        actions.register_type()

    def run(self, seed: int, echo: Callable[[str], None] | None = None) -> Trace:
        """Run one seed.

        Args:
            seed: of every random choice.
            echo: called with each line of the trace.

        Raises:
            BrokenRuleError: a rule was broken; its `trace` holds what happened until then.
        """
        trace = Trace(seed, echo)
        memory = Path("/dev/shm")  # noqa: S108 # a folder of our own is made inside
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder, _simulated(Path(folder)):
            model = Model(self.database, self._control, trace)
            try:
                Driver(model, self._restart).run()
            except BrokenRuleError as error:
                error.trace = trace
                raise
            finally:
                model.close()
        return trace

    def close(self) -> None:
        """End the session and drop the database."""
        self._control.close()
        _administer(self.database, f'DROP DATABASE "{self.database.settings["NAME"]}" WITH (FORCE)')

    def _restart(self) -> None:
        if self._crash_and_start is not None:
            self._control.close()
            self._crash_and_start()
            self._control.connect()
        else:
            self._control.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            while self._control.rows(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            ):
                pass


class _SeededUuids(types.ModuleType):
    """Replaces the module `uuid`: an actor's ids come from its seed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(uuid, name)

    def uuid4(self) -> uuid.UUID:
        """A random id."""
        actor = current()
        rng = random.SystemRandom() if actor is None else actor.rng
        return uuid.UUID(int=rng.getrandbits(128), version=4)


@contextlib.contextmanager
def _simulated(folder: Path) -> Iterator[None]:
    """Make the product's modules use the actor's clock and this folder."""
    real_now = timezone.now

    def now() -> datetime:
        actor = current()
        return real_now() if actor is None else real_now() + timedelta(seconds=actor.now_s)

    before, settings.OUTPUT_DIR = settings.OUTPUT_DIR, folder
    try:
        with contextlib.ExitStack() as stack:
            for name in MODULES_WITH_A_CLOCK:
                module = __import__(name, fromlist=["time"])
                stack.enter_context(mock.patch.object(module, "time", ActorTime(module.time)))
            stack.enter_context(mock.patch("jobs.queue.enqueue.uuid", _SeededUuids("uuid")))
            stack.enter_context(mock.patch.object(timezone, "now", now))
            yield
    finally:
        settings.OUTPUT_DIR = before
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)


def _create(database: Database, *, synchronous_commit: str) -> None:
    name = database.settings["NAME"]
    _administer(
        database, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}" TEMPLATE template0'
    )
    before = connections["default"]
    connections["default"] = DatabaseWrapper({**database.settings}, "default")
    try:
        call_command("migrate", verbosity=0, interactive=False)
        with connections["default"].cursor() as cursor:
            cursor.execute(SETUP)
            cursor.execute(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog')
            cursor.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = {synchronous_commit}')
        connections["default"].close()
    finally:
        connections["default"] = before


def _administer(database: Database, *statements: str) -> None:
    known = database.settings
    raw = psycopg2.connect(
        host=known["HOST"],
        port=known["PORT"],
        user=known["USER"],
        password=known["PASSWORD"] or None,
        dbname="postgres",
    )
    raw.autocommit = True
    with raw.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    raw.close()
