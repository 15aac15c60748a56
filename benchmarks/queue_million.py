"""What a million rows do to a claim: 1,000 rows queued, a million queued, and 1,000 after a million were done."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing

from benchmarks import queue_rows, queue_running
from benchmarks.queue_app import NOOP
from benchmarks.queue_lab import Lab
from benchmarks.queue_sides.known import OURS

MILLION = 1_000_000
FEW = 1_000
CLAIMS = 400
FEW_QUEUED, MILLION_QUEUED, MILLION_DONE = "bench_few_queued", "bench_million_queued", "bench_million_done"


def make(lab: Lab, scale: float, rounds: int) -> int:
    """Make the three databases, each with rows to spare for the claims to come; how many jobs a million stands for."""
    many, spare = round(MILLION * scale), (CLAIMS + 1) * rounds
    for database in (FEW_QUEUED, MILLION_QUEUED, MILLION_DONE):
        lab.create(database, f"{OURS.tables}_fresh")
        with closing(lab.connect(database)) as connection:
            if database == MILLION_DONE:
                queue_rows.make(connection, many, job_type=NOOP, finish=True)
            queued = many if database == MILLION_QUEUED else FEW
            queue_rows.make(connection, queued + spare, job_type=NOOP)
        lab.settle(database)
    return many


def claims(lab: Lab, rounds: int) -> dict[str, list[float]]:
    """Seconds of each claim by database, the databases in turn."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for database in (FEW_QUEUED, MILLION_QUEUED, MILLION_DONE):
            seconds[database] += queue_running.run(lab, OURS, database, "claim", number=CLAIMS)
    return dict(seconds)
