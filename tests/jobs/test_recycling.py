"""Worker processes that are replaced by fresh ones, and the stacks that they write on request."""

from __future__ import annotations

import os
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from django.conf import settings

from foundation.principal import SYSTEM
from jobs import workers
from jobs.models import Job
from jobs.worker.recycling import Bounds
from tests.support.jobs_app.running import PATIENCE_S, ask, done, eventually, now, start, types_known_here, workers_of

__all__ = ["start", "types_known_here"]

pytestmark = pytest.mark.django_db(transaction=True)


def pids_of(jobs: list[Job]) -> Counter[int]:
    return Counter(now(job).result["pid"] for job in jobs)  # type: ignore[index]


def test_without_a_bound_or_before_the_first_job_there_is_no_recycling():
    assert Bounds(jobs=0, memory_bytes=0).reached(10**9) == ""
    assert Bounds(jobs=1, memory_bytes=1).reached(0) == ""
    assert Bounds(jobs=2, memory_bytes=0).reached(1) == ""
    assert Bounds(jobs=2, memory_bytes=0).reached(2) == "2 jobs done"
    assert "MiB" in Bounds(jobs=0, memory_bytes=1).reached(1)


def test_the_memory_is_checked_once_a_second_and_the_number_of_jobs_each_time(monkeypatch):
    at = [100.0]
    monkeypatch.setattr("jobs.worker.recycling.time.monotonic", lambda: at[0])
    bounds = Bounds(jobs=9, memory_bytes=2**50)
    assert bounds.reached(1) == ""
    bounds.memory_bytes = 1
    at[0] += 0.9
    assert bounds.reached(2) == ""
    assert bounds.reached(9) == "9 jobs done"
    at[0] += 0.2
    assert "MiB" in bounds.reached(3)


@pytest.mark.parametrize(("variable", "most"), [("ORCH_WORKER_RECYCLE_JOBS", 2), ("ORCH_WORKER_RECYCLE_MEMORY_MB", 1)])
def test_a_process_that_has_done_enough_is_replaced_without_counting_as_a_crash(start, tmp_path, variable, most):
    jobs = [ask("note", tmp_path) for _ in range(most + 1)]
    assert start("--drain", "--concurrency", "2", **{variable: str(most)}).wait(timeout=PATIENCE_S) == 0
    assert max(pids_of(jobs).values()) <= most
    assert (tmp_path / "file").read_text() == "1\n" * (most + 1)
    log = (tmp_path / "worker.log").read_text()
    assert "makes way for a fresh one" in log
    assert "ended unasked" not in log


def test_a_serving_supervisor_fills_the_slot_of_a_recycled_process(start, tmp_path):
    worker = start("--concurrency", "1", ORCH_WORKER_RECYCLE_JOBS="1")
    jobs = []
    for _ in range(2):
        jobs.append(ask("note", tmp_path))
        eventually(partial(done, jobs[-1]))
    assert len(pids_of(jobs)) == 2
    assert worker.poll() is None
    assert "ended unasked" not in (tmp_path / "worker.log").read_text()


def stacks_in(log: Path) -> int:
    return log.read_text().count("(most recent call first)")


def test_sigquit_writes_all_stacks_of_supervisor_and_child_and_work_goes_on(start, tmp_path):
    log = tmp_path / "worker.log"
    job = ask("wait", tmp_path)
    worker = start("--concurrency", "1")
    first = tmp_path / "started.1"
    child = int(eventually(lambda: first.exists() and first.read_text()))
    os.kill(child, signal.SIGQUIT)
    eventually(
        lambda: (
            "tests/support/jobs_app/handlers.py" in log.read_text()
            and "jobs/worker/heartbeat_thread.py" in log.read_text()
        )
    )
    before = stacks_in(log)
    worker.send_signal(signal.SIGQUIT)
    eventually(lambda: "jobs/worker/supervisor.py" in log.read_text() and stacks_in(log) > before)
    assert worker.poll() is None
    (tmp_path / "end").touch()
    eventually(partial(done, job))
    assert now(job).attempts == 1


def test_each_worker_process_has_a_row_with_its_identity_and_current_job(start, tmp_path):
    job = ask("wait", tmp_path)
    worker = start("--concurrency", "1")
    eventually((tmp_path / "started.1").exists)
    (row,) = eventually(lambda: [one for one in workers.page(SYSTEM).items if one.current_job])
    (child,) = workers_of(worker)
    assert (row.host, row.pid) == (os.uname().nodename, child.pid)
    assert row.version == settings.VERSION
    assert row.current_job == job.job_id
    assert row.started_at <= row.heartbeat_at
    assert row.rss_bytes > 0
