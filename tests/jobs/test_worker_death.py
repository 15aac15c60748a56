"""Real worker processes that are killed, frozen or cut off: their jobs are still done, once."""

from __future__ import annotations

import os
import signal
from functools import partial

import psutil
import psycopg2
import pytest
from django.db import connection

from foundation.principal import SYSTEM
from jobs import services, workers
from tests.support.jobs_app.running import PATIENCE_S, ask, done, eventually, now, start, state, types_known_here

__all__ = ["start", "types_known_here"]

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_sigkilled_worker_is_replaced_and_its_job_done_by_another(start, tmp_path):
    job = ask("wait", tmp_path)
    start("--concurrency", "1")
    first = tmp_path / "started.1"
    os.kill(int(eventually(lambda: first.exists() and first.read_text())), signal.SIGKILL)
    (tmp_path / "end").touch()
    eventually(lambda: state(job) == "completed")
    lost, done = services.attempts_of(job)
    assert (lost.outcome, lost.error_code) == ("lost", "lease_expired")
    assert (done.outcome, now(job).result) == ("completed", {"attempt": 2})


def test_children_leave_when_their_supervisor_is_sigkilled(start, tmp_path):
    job = ask("wait", tmp_path)
    worker = start("--concurrency", "2")
    eventually((tmp_path / "started.1").exists)
    children = psutil.Process(worker.pid).children()
    assert sorted(child.name() for child in children) == ["orch-upkeep", "orch-worker-0", "orch-worker-1"]
    worker.kill()
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert alive == []
    assert state(job) == "queued"


def test_workers_survive_the_loss_of_every_connection(start, tmp_path):
    worker = start("--concurrency", "1")
    eventually(lambda: workers.page(SYSTEM).items)
    known = connection.settings_dict
    other = psycopg2.connect(host=known["HOST"], dbname="postgres", user=known["USER"])
    for _ in range(2):
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> pg_backend_pid()",
                [known["NAME"]],
            )
            other.commit()
        connection.close()
        job = ask("note", tmp_path)
        eventually(partial(done, job))
    other.close()
    assert worker.poll() is None


def test_a_worker_that_was_frozen_past_its_lease_changes_nothing_when_it_wakes(start, tmp_path):
    job = ask("ignore", tmp_path)
    host = start("--concurrency", "1")
    first = tmp_path / "started.1"
    frozen = int(eventually(lambda: first.exists() and first.read_text()))
    host.send_signal(signal.SIGSTOP)  # as when a whole machine freezes: nothing replaces the worker
    os.kill(frozen, signal.SIGSTOP)
    start("--concurrency", "1")
    eventually((tmp_path / "started.2").exists)
    os.kill(frozen, signal.SIGCONT)
    (tmp_path / "end").touch()
    eventually(lambda: state(job) == "completed")
    assert now(job).result == {"attempt": 2}
    assert [attempt.outcome for attempt in services.attempts_of(job)] == ["lost", "completed"]
