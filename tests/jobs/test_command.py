"""`manage.py orch_jobs` and the options of `run_orch_worker`: the same rules from a shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from custody.models import Event
from foundation.principal import SYSTEM
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import JobResult

pytestmark = pytest.mark.django_db


@pytest.fixture
def job() -> Iterator[Job]:
    registry.register(registry.JobType(name="t", title="T", phases=("one",), handler=lambda _: JobResult({})))
    yield queue.enqueue("t", {}, principal=SYSTEM, operation="test").job
    registry.unregister("t")


def orch_jobs(*arguments: str) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("orch_jobs", "--json", *arguments, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_job_is_listed_cancelled_and_retried_and_custody_names_the_shell(job):
    assert [one["job_id"] for one in orch_jobs("list", "--status", "queued")] == [str(job.job_id)]
    assert orch_jobs("cancel", str(job.job_id))[0]["status"] == "cancelled"
    assert orch_jobs("list", "--status", "queued") == []
    assert orch_jobs("retry", str(job.job_id))[0]["status"] == "queued"
    assert set(Event.objects.values_list("authenticated_by", flat=True)) == {"shell"}


def test_only_stuck_jobs_are_freed(job):
    claimed = queue.claim(ClaimRequest("worker", ("t",)))
    assert claimed is not None
    assert orch_jobs("free") == []
    with pytest.raises(CommandError, match="state_conflict"):
        orch_jobs("free", str(job.job_id))
    Job.objects.update(lease_expires_at=timezone.now() - timedelta(hours=1))
    assert [one["job_id"] for one in orch_jobs("free")] == [str(job.job_id)]


def test_a_job_is_shown_with_its_history(job):
    out = StringIO()
    claimed = queue.claim(ClaimRequest("worker", ("t",)))
    assert claimed is not None
    queue.fail(claimed, "broken", "It broke.", permanent=True)
    call_command("orch_jobs", "show", str(job.job_id), stdout=out)
    assert json.loads(out.getvalue())["history"][0]["error_code"] == "broken"


def test_a_refusal_of_the_queue_is_one_line_with_its_code(job):
    with pytest.raises(CommandError, match=r"cannot be retried\. \(state_conflict\)"):
        orch_jobs("retry", str(job.job_id))
    with pytest.raises(CommandError, match="job_not_found"):
        orch_jobs("show", "nonsense")


def test_a_concurrency_of_zero_is_refused():
    with pytest.raises(CommandError, match="--concurrency"):
        call_command("run_orch_worker", "--concurrency", "0")
