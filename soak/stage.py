"""Where a simulation takes place: a database of its own with the product's tables, and a folder for files.

While a seed is played, the product's modules look at the clock of the actor that runs.
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

from soak import deeds
from soak.actors import WorldTime, current
from soak.driver import Driver
from soak.rules import BrokenRuleError
from soak.schema import SETUP, Control
from soak.sessions import Line
from soak.world import Story, World

LOOKS_AT_TIME = (
    "jobs.worker.attempt_reporter",
    "jobs.worker.progress",
    "jobs.worker.completion",
    "jobs.worker.attempt",
    "jobs.worker.job_log",
)


class Stage:
    """Plays seeds, one after the other.

    Args:
        database: name of the database; dropped and made anew on the server of Django's settings.
        restart: stops the server at once and starts it again; `None` ends all sessions instead, on a server that others
            use too.
    """

    def __init__(self, database: str, restart: Callable[[], None] | None = None) -> None:
        self._restart_server = restart
        self.line = Line({**connections.settings["default"], "NAME": database})
        # Nothing is lost by it while the server runs on, and steps need not wait for a disk.
        _make(self.line, synchronous_commit="on" if restart is not None else "off")
        self._control = Control(self.line)
        deeds.register_type()

    def play(self, seed: int, say: Callable[[str], None] | None = None) -> Story:
        """Run one seed.

        Args:
            seed: decides everything.
            say: is told each step.

        Raises:
            BrokenRuleError: a rule was broken; `story` on it is what happened until then.
        """
        story = Story(seed, say)
        memory = Path("/dev/shm")  # noqa: S108 # a folder of our own is made inside
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder, _in_world(Path(folder)):
            world = World(self.line, self._control, story)
            try:
                Driver(world, self._restart).run()
            except BrokenRuleError as error:
                error.story = story
                raise
            finally:
                world.close()
        return story

    def close(self) -> None:
        """Leave nothing behind."""
        self._control.close()
        _administer(self.line, f'DROP DATABASE "{self.line.settings["NAME"]}" WITH (FORCE)')

    def _restart(self) -> None:
        if self._restart_server is not None:
            self._control.close()
            self._restart_server()
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
    """Stands in for the module `uuid`: an actor's ids are those of its seed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(uuid, name)

    def uuid4(self) -> uuid.UUID:
        """A random id."""
        actor = current()
        rng = random.SystemRandom() if actor is None else actor.rng
        return uuid.UUID(int=rng.getrandbits(128), version=4)


@contextlib.contextmanager
def _in_world(folder: Path) -> Iterator[None]:
    """The product's modules see the actor's clock and this folder."""
    real_now = timezone.now

    def now() -> datetime:
        actor = current()
        return real_now() if actor is None else real_now() + timedelta(seconds=actor.now_s)

    before, settings.OUTPUT_DIR = settings.OUTPUT_DIR, folder
    try:
        with contextlib.ExitStack() as stack:
            for name in LOOKS_AT_TIME:
                module = __import__(name, fromlist=["time"])
                stack.enter_context(mock.patch.object(module, "time", WorldTime(module.time)))
            stack.enter_context(mock.patch("jobs.queue.enqueue.uuid", _SeededUuids("uuid")))
            stack.enter_context(mock.patch.object(timezone, "now", now))
            yield
    finally:
        settings.OUTPUT_DIR = before
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)


def _make(line: Line, *, synchronous_commit: str) -> None:
    name = line.settings["NAME"]
    _administer(line, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}" TEMPLATE template0')
    before = connections["default"]
    connections["default"] = DatabaseWrapper({**line.settings}, "default")
    try:
        call_command("migrate", verbosity=0, interactive=False)
        with connections["default"].cursor() as cursor:
            cursor.execute(SETUP)
            cursor.execute(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog')
            cursor.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = {synchronous_commit}')
        connections["default"].close()
    finally:
        connections["default"] = before


def _administer(line: Line, *statements: str) -> None:
    known = line.settings
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
