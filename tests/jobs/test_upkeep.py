"""Sweeps and periodic tasks: a restarted database costs one log line, not a traceback for each task."""

from __future__ import annotations

import logging

import psycopg2
import pytest
from django.db import OperationalError, connection

from jobs.queue import queue
from jobs.worker import sweeps
from jobs.worker.periodic import Periodic
from tests.support.jobs_app.running import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def ask() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return int(cursor.fetchone()[0])


def cut_own_connection() -> None:
    """Leave the connection as a restart of the server does: open on this side, closed on the other."""
    known = connection.settings_dict
    other = psycopg2.connect(host=known["HOST"], dbname=known["NAME"], user=known["USER"])
    connection.ensure_connection()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
    other.close()


@pytest.fixture
def only(monkeypatch, caplog):
    """Only the sweeps that a test registers, and the log from here on."""
    monkeypatch.setattr(sweeps, "_sweeps", {})
    caplog.set_level(logging.INFO, "jobs")
    return sweeps.register


def test_sweeps_on_a_connection_that_was_cut_connect_anew_with_one_line(only, caplog):
    for name in ("one", "two", "three", "four"):
        only(name, ask)
    cut_own_connection()
    assert sweeps.run_all() == {"one": 1, "two": 1, "three": 1, "four": 1}
    lines = [record.getMessage() for record in caplog.records if "connect" in record.getMessage()]
    assert len(lines) == 1
    assert "connecting anew" in lines[0]
    assert "Traceback" not in caplog.text


def test_a_database_that_stays_away_ends_the_run_with_one_warning(only, caplog):
    def away() -> int:
        connection.close()
        raise OperationalError("connection refused\n\tIs the server running?")

    only("away", away)
    only("sound", ask)
    assert sweeps.run_all() == {}
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "sweeping goes on later" in warnings[0]
    assert "Traceback" not in caplog.text


def test_a_sweep_whose_statement_fails_is_no_outage(only, caplog):
    def too_slow() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 10")
            cursor.execute("SELECT pg_sleep(5)")
        return 0

    only("slow", too_slow)
    only("sound", ask)
    assert sweeps.run_all() == {"sound": 1}
    assert "the sweep failed" in caplog.text
    connection.close()


def test_a_periodic_task_keeps_no_connection_while_it_rests():
    seen: list[object] = []

    def act() -> None:
        seen.append(connection.connection)
        ask()

    task = Periodic("looks", 0.05, act, statement_s=5)
    task.start()
    eventually(lambda: len(seen) >= 2)
    task.stop()
    task.join(timeout=240)
    assert seen[:2] == [None, None]


def test_without_a_running_job_no_lease_expires_next():
    assert queue.next_expiry_s() is None
