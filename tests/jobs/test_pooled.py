"""Workers behind a proxy that pools transactions: no session state, no notices, and every job is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg2
import pytest
from django.conf import settings
from django.db import connection

from foundation.principal import SYSTEM
from jobs import services, workers
from jobs.errors import PermanentError
from jobs.queue import wakeup
from rehydration import incident_lock
from tests.support.jobs_app.running import PATIENCE_S, ask, done, eventually, now, start, state, types_known_here
from tests.support.pgbouncer import pooling

__all__ = ["start", "types_known_here"]

pytestmark = pytest.mark.django_db(transaction=True)

SERVERS = 2


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with pooling(tmp_path, SERVERS) as found:
        yield found


@pytest.fixture
def start_behind(start, port) -> Callable[..., subprocess.Popen[bytes]]:
    return partial(start, ORCH_DB_POOLED="true", DB_HOST="127.0.0.1", DB_PORT=str(port))


def sessions(port: int) -> list[dict[str, str]]:
    """The settings of each of the proxy's sessions on the server, read through the proxy."""
    known = connection.settings_dict
    found = []
    held = []
    for _ in range(SERVERS):  # an open transaction keeps its session, so that the next one gets another
        other = psycopg2.connect(host="127.0.0.1", port=port, dbname=known["NAME"], user=known["USER"])
        held.append(other)
        with other.cursor() as cursor:
            cursor.execute("SELECT name, setting FROM pg_settings WHERE source = 'session'")
            settings_of = dict(cursor.fetchall())
            cursor.execute("SELECT count(*) FROM pg_listening_channels()")
            settings_of["channels"] = str(cursor.fetchone()[0])  # type: ignore[index]
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
            settings_of["locks"] = str(cursor.fetchone()[0])  # type: ignore[index]
            found.append(settings_of)
    for other in held:
        other.close()
    return found


def test_every_job_is_done_once_and_no_session_is_left_changed(start_behind, port, tmp_path):
    jobs = [ask("note", tmp_path) for _ in range(20)]
    assert start_behind("--drain", "--concurrency", "3").wait(timeout=PATIENCE_S) == 0
    assert [now(job).status for job in jobs] == ["completed"] * 20
    assert (tmp_path / "file").read_text() == "1\n" * 20
    for session in sessions(port):
        assert (session["channels"], session["locks"]) == ("0", "0")
        assert not session.keys() & {"statement_timeout", "client_connection_check_interval", "lock_timeout"}


def test_a_serving_worker_finds_work_by_polling_cancels_and_releases(start_behind, tmp_path):
    worker = start_behind("--concurrency", "2")
    eventually(lambda: len(workers.page(SYSTEM).items) == 2)
    found = ask("note", tmp_path)
    eventually(partial(done, found))
    cancelled = ask("wait", tmp_path)
    eventually((tmp_path / "started.1").exists)
    services.cancel(SYSTEM, cancelled.job_id)
    eventually(lambda: state(cancelled) == "cancelled")
    (tmp_path / "started.1").unlink()
    kept = ask("wait", tmp_path)
    eventually((tmp_path / "started.1").exists)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) == 0
    assert (now(kept).status, now(kept).retry_count) == ("queued", 0)


def test_the_setting_turns_off_notices_and_cursors_that_outlive_a_transaction(settings, monkeypatch):
    settings.ORCH_DB_POOLED = True
    monkeypatch.setattr(wakeup, "connection", None)  # it would fail at the first use
    wakeup.announce()
    assert server_side_cursors_are_off(ORCH_DB_POOLED="true") == "True"
    assert server_side_cursors_are_off() == "False"


def server_side_cursors_are_off(**variables: str) -> str:
    code = "from orchestrator_site import settings as s; print(s.DATABASES['default']['DISABLE_SERVER_SIDE_CURSORS'])"
    environment = {**os.environ, "DB_HOST": "unused", **variables}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_work_that_needs_a_session_lock_is_refused(settings):
    settings.ORCH_DB_POOLED = True
    with pytest.raises(PermanentError, match="direct connection"):
        incident_lock.acquire("incident-1", lambda: None)
