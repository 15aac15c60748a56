"""Any order of actions by workers and people and of deaths: one outcome, bounded attempts, only legal moves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation.principal import SYSTEM
from jobs.errors import JobError
from jobs.models import Attempt, Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import JobResult

STEPS = (
    "claim", "heartbeat", "complete", "fail", "fail for good", "release", "honour cancel", "ask to cancel", "retry",
    "lease runs out", "recover", "time passes",
)  # fmt: skip
LEGAL = {
    ("queued", "processing"), ("queued", "cancelled"), ("processing", "completed"), ("processing", "failed"),
    ("processing", "cancelled"), ("processing", "queued"), ("failed", "queued"), ("cancelled", "queued"),
}  # fmt: skip


class Trace:
    """One job, all claims of it so far, and which of them registered a result."""

    def __init__(self) -> None:
        self.job_id = queue.enqueue("t", {}, principal=SYSTEM, operation="test").job.job_id
        self.claims: list[Job] = []
        self.registered: list[int] = []

    def now(self) -> Job:
        return Job.objects.get(job_id=self.job_id)

    def step(self, name: str, which: int) -> None:
        job = self.claims[which % len(self.claims)] if self.claims else None
        without_claim: dict[str, Any] = {
            "ask to cancel": lambda: queue.cancel(self.job_id),
            "retry": lambda: queue.retry(self.job_id),
            "recover": queue.recover_expired,
            "claim": self.claim,
            "lease runs out": lambda: self.shift("lease_expires_at", "processing"),
            "time passes": lambda: self.shift("run_after", "queued"),
        }
        if name in without_claim:
            without_claim[name]()
        elif job is not None:
            {
                "heartbeat": lambda: queue.heartbeat(job, {"phase": "one"}),
                "complete": lambda: queue.complete(job, JobResult({}, lambda: self.registered.append(job.attempts))),
                "fail": lambda: queue.fail(job, "x", "x"),
                "fail for good": lambda: queue.fail(job, "x", "x", permanent=True),
                "release": lambda: queue.release(job),
                "honour cancel": lambda: queue.honour_cancel(job),
            }[name]()

    def claim(self) -> None:
        job = queue.claim(ClaimRequest(f"worker {len(self.claims)}", ("t",)))
        if job is not None:
            self.claims.append(job)

    def shift(self, column: str, state: str) -> None:
        earlier = {column: timezone.now() - timedelta(hours=1)}
        Job.objects.filter(job_id=self.job_id, status=state).update(**earlier)

    def check(self, before: Job) -> None:
        after = self.now()
        assert before.status == after.status or (before.status, after.status) in LEGAL
        history = list(Attempt.objects.filter(job_id=self.job_id).order_by("number"))
        assert [attempt.number for attempt in history] == list(range(1, after.attempts + 1))
        assert sum(attempt.outcome == "running" for attempt in history) == int(after.status == "processing")
        completed = [attempt.number for attempt in history if attempt.outcome == "completed"]
        assert completed == self.registered
        assert len(completed) == int(after.status == "completed")
        assert after.retry_count <= after.max_retries
        if after.status == "queued" and before.status in {"failed", "cancelled"}:
            assert after.retry_count == 0


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), min_size=5, max_size=40))
def test_no_order_of_events_gives_two_outcomes_or_too_many_attempts(steps):
    registry.register(registry.JobType(name="t", title="T", phases=("one",), handler=lambda _: JobResult({})))
    with transaction.atomic():
        trace = Trace()
        for name, which in steps:
            before = trace.now()
            try:
                trace.step(name, which)
            except JobError:
                assert trace.now().status == before.status
            trace.check(before)
        transaction.set_rollback(True)
    registry.unregister("t")
