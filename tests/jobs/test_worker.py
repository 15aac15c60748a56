"""Real worker processes against a real PostgreSQL: normal work and shutdown."""

from __future__ import annotations

import signal

import pytest

from foundation.principal import SYSTEM
from jobs import services, workers
from jobs.models import Attempt, Worker
from jobs.worker import shutdown, supervisor
from tests.support.jobs_app.running import PATIENCE_S, ask, eventually, now, start, state, types_known_here

__all__ = ["start", "types_known_here"]

pytestmark = pytest.mark.django_db(transaction=True)


def test_drain_does_every_job_once_and_exits(start, tmp_path):
    jobs = [ask("note", tmp_path) for _ in range(20)]
    assert start("--drain", "--concurrency", "2").wait(timeout=PATIENCE_S) == 0
    assert [now(job).status for job in jobs] == ["completed"] * 20
    assert (tmp_path / "file").read_text() == "1\n" * 20
    assert services.log_of(jobs[0])[0].message == "noted"


def test_once_does_one_job_and_exits(start, tmp_path):
    for _ in range(2):
        ask("note", tmp_path)
    assert start("--once").wait(timeout=PATIENCE_S) == 0
    assert services.counts() == {"queued": 1, "processing": 0}


def test_sigterm_releases_the_running_job_without_counting_a_failure(start, tmp_path):
    job = ask("wait", tmp_path)
    worker = start("--concurrency", "1")
    eventually((tmp_path / "started.1").exists)
    eventually(lambda: workers.page(SYSTEM).items)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) == 0
    given_back = now(job)
    assert (given_back.status, given_back.retry_count, given_back.attempts) == ("queued", 0, 1)
    assert services.attempts_of(job)[0].outcome == Attempt.Outcome.RELEASED
    assert set(Worker.objects.values_list("state", flat=True)) == {"stopped"}


def test_a_running_job_is_cancelled_at_its_next_check(start, tmp_path):
    job = ask("wait", tmp_path)
    start("--concurrency", "1")
    eventually((tmp_path / "started.1").exists)
    assert services.cancel(SYSTEM, job.job_id).cancel_requested
    eventually(lambda: state(job) == "cancelled")
    assert services.attempts_of(job)[0].outcome == Attempt.Outcome.CANCELLED


def test_a_signal_ends_even_a_handler_that_never_checks_and_releases_its_job(start, tmp_path):
    job = ask("ignore", tmp_path)
    worker = start("--concurrency", "1")
    eventually((tmp_path / "started.1").exists)
    worker.send_signal(signal.SIGINT)
    assert worker.wait(timeout=PATIENCE_S) == 0
    assert (now(job).status, now(job).retry_count) == ("queued", 0)


def test_the_times_allowed_for_shutdown_add_up_to_less_than_ten_seconds():
    assert shutdown.GRACE_S + 1 < supervisor.CHILDREN_MAY_TAKE_S < 10
