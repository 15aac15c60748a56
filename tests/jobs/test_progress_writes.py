"""The database is written to at most twice a second, however often a handler reports and logs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from foundation.principal import SYSTEM
from jobs.models import Job, JobLogLine
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import JobResult
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.heartbeat_thread import HeartbeatThread
from jobs.worker_registration import WorkerRegistration
from tests.support.jobs_app.running import eventually

pytestmark = pytest.mark.django_db(transaction=True)

REPORTS = 10_000

# Counts statements, not rows: each statement costs a commit.
COUNTING = """
CREATE TABLE writes_seen (what text);
CREATE FUNCTION write_seen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO writes_seen VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
CREATE TRIGGER write_seen AFTER UPDATE ON orchestrator_jobs FOR EACH STATEMENT EXECUTE FUNCTION write_seen();
CREATE TRIGGER write_seen AFTER INSERT ON orchestrator_job_log FOR EACH STATEMENT EXECUTE FUNCTION write_seen();
"""
NOT_COUNTING = """
DROP TRIGGER write_seen ON orchestrator_jobs;
DROP TRIGGER write_seen ON orchestrator_job_log;
DROP FUNCTION write_seen();
DROP TABLE writes_seen;
"""


@pytest.fixture
def reporter(settings) -> Iterator[AttemptReporter]:
    """The reporter of a claimed job, with a heartbeat thread as in a worker."""
    settings.ORCH_HEARTBEAT_SECONDS = 1  # so that renewals fall among the reports
    registry.register(registry.JobType(name="t", title="T", phases=("one",), handler=lambda _: JobResult({})))
    queue.enqueue("t", {}, principal=SYSTEM, operation="test")
    registration, stopping = WorkerRegistration(), threading.Event()
    job = queue.claim(ClaimRequest(registration.worker_id, ("t",)))
    assert job is not None
    made = AttemptReporter(job, ("one",), stopping=stopping, direct=False)
    thread = HeartbeatThread(registration, stopping)
    with connection.cursor() as cursor:
        cursor.execute(COUNTING)
    thread.watch(made)
    thread.start()
    yield made
    thread.stop()
    with connection.cursor() as cursor:
        cursor.execute(NOT_COUNTING)
    registry.unregister("t")


def writes_to(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM writes_seen WHERE what = %s", [table])
        return int(cursor.fetchone()[0])


def test_ten_thousand_reports_a_second_cost_two_writes_a_second(reporter, caplog):
    caplog.set_level(logging.ERROR, "jobs")  # the worker's log has every line
    began = time.monotonic()
    for number in range(REPORTS):
        reporter.progress("one", number + 1, REPORTS, "bytes", "")
        reporter.log("info", f"line {number}", {})
        reporter.check()
    eventually(lambda: Job.objects.get(job_id=reporter.job.job_id).progress.get("done") == REPORTS)
    eventually(lambda: JobLogLine.objects.filter(job_id=reporter.job.job_id, message=f"line {REPORTS - 1}").exists())
    allowed = 2 * (time.monotonic() - began) + 1  # one more, at the end
    assert 1 <= writes_to("orchestrator_jobs") <= allowed
    assert 1 <= writes_to("orchestrator_job_log") <= allowed
    eventually(lambda: JobLogLine.objects.filter(job_id=reporter.job.job_id).count() == 500)


def test_the_stored_progress_has_phase_done_total_unit_note_and_rate(reporter):
    done = iter(range(1000, 10**9, 1000))

    def stored_after_one_more_report() -> dict[str, Any]:
        reporter.progress("one", next(done), 10**9, "bytes", "alerts.json")
        found: dict[str, Any] = Job.objects.get(job_id=reporter.job.job_id).progress
        return found

    eventually(lambda: stored_after_one_more_report().get("rate"))  # None in the first half second
    stored = Job.objects.get(job_id=reporter.job.job_id).progress
    assert {name: stored[name] for name in ("phase", "total", "unit", "note")} == {
        "phase": "one", "total": 10**9, "unit": "bytes", "note": "alerts.json",
    }  # fmt: skip
    assert 1000 <= stored["done"] <= reporter.tracker.take()["done"]
    assert stored["rate"] > 0
