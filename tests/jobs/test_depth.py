"""The number of queued jobs: exact up to a limit, an estimate above it, and sampled over a day."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from foundation import keyset
from foundation.principal import SYSTEM
from jobs import services
from jobs.models import DepthSample, Job
from jobs.queue import queue, queue_depth, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import JobResult
from jobs.worker import sweeps

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _type() -> Iterator[None]:
    registry.register(registry.JobType(name="t", title="T", phases=("one",), handler=lambda _: JobResult({})))
    yield
    registry.unregister("t")


def ask(number: int) -> None:
    for _ in range(number):
        queue.enqueue("t", {}, principal=SYSTEM, operation="test")


def test_the_sweeps_store_the_longest_queue_of_the_half_hour():
    ask(3)
    sweeps.run_all()
    queue.claim(ClaimRequest("worker", ("t",)))
    sweeps.run_all()
    assert DepthSample.objects.get().queued == 3
    assert services.counts() == {"queued": 2, "processing": 1}


def test_a_day_is_listed_oldest_first_and_a_gap_has_the_value_before_it():
    ask(1)
    queue_depth.sample()
    now = DepthSample.objects.get().half_hour
    DepthSample.objects.bulk_create(
        DepthSample(half_hour=now - ago, queued=queued) for ago, queued in ((60, 99), (48, 7), (46, 5), (2, 4))
    )
    depths = queue_depth.queued_over_a_day(queued_now=8)
    assert depths == [7, 7] + [5] * 44 + [4, 4, 8]
    assert queue_depth.sample() == 1
    assert queue_depth.queued_over_a_day(queued_now=8) == depths


def test_before_the_first_sample_there_is_no_depth():
    depths = queue_depth.queued_over_a_day(queued_now=2)
    assert depths == [None] * 48 + [2]
    assert queue_depth.day_in_words(depths) == "Queued now: 2. Nothing was measured in the 24 hours before."


def test_the_sentence_names_the_measured_hours_and_marks_estimates():
    assert queue_depth.day_in_words([None] * 44 + [7] * 4 + [2]) == (
        "Queued jobs over the last 2 h: at most 7, now 2. Nothing was measured before."
    )
    assert (
        queue_depth.day_in_words([30_000] + [7] * 48)
        == "Queued jobs over the last 24 hours: at most about 30,000, now 7."
    )
    assert queue_depth.in_words(queue_depth.EXACT_UP_TO) == "20,000"
    assert queue_depth.in_words(queue_depth.EXACT_UP_TO + 1) == "about 20,001"


def test_above_the_limit_the_database_estimates_and_never_less_than_was_counted(monkeypatch):
    ask(5)
    monkeypatch.setattr(queue_depth, "COUNTS_SQL", queue_depth.COUNTS_SQL.replace(str(queue_depth.EXACT_UP_TO), "2"))
    assert services.counts()["queued"] == 3  # not analyzed yet, so there is no estimate; three were counted
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orchestrator_jobs")
    assert services.counts()["queued"] == 5


def test_a_deep_page_starts_in_the_index_where_the_page_before_ended():
    ask(3)
    page = keyset.page(Job.objects.all(), order=services.LIST_ORDER, limit=1)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        ran: list[str] = []

        def note(execute: object, sql: str, params: object, many: object, context: object) -> object:
            ran.append(cursor.mogrify(sql, params).decode())
            return execute(sql, params, many, context)  # type: ignore[operator]

        with connection.execute_wrapper(note):
            keyset.page(Job.objects.all(), order=services.LIST_ORDER, cursor=page.next, limit=1)
        cursor.execute("EXPLAIN " + ran[0])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Cond: (created_at <=" in plan
