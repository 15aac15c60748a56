"""What churn leaves behind: the queue's tables with the settings that the migrations give them, and with the server's.

Jobs are made, claimed, reported on, completed and removed, one statement each, by the queue's own SQL, while about a
thousand wait. Autovacuum runs as it does in production, only looking more often, so that minutes stand for hours.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any

from benchmarks import queue_report
from benchmarks.queue_app import NOOP
from benchmarks.queue_lab import Lab
from benchmarks.queue_rows import QUEUED
from benchmarks.queue_sides.known import OURS
from jobs.queue import transitions

JOBS, WAITING, BEATS, KEPT = 15_000, 1_000, 4, 2_000
TABLES = ("orchestrator_jobs", "orchestrator_job_attempts", "orchestrator_job_totals")
WITH_OURS, WITH_DEFAULTS = "table settings of the migrations", "settings of the server"
RESET = (
    "fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_analyze_scale_factor,"
    " autovacuum_vacuum_cost_delay"
)
REMOVE = """
WITH over AS (SELECT job_id FROM orchestrator_jobs WHERE status = 'completed' ORDER BY created_at, job_id LIMIT 1),
attempts AS (DELETE FROM orchestrator_job_attempts attempt USING over WHERE attempt.job_id = over.job_id)
DELETE FROM orchestrator_jobs job USING over WHERE job.job_id = over.job_id"""


def measure(lab: Lab, scale: float) -> dict[str, dict[str, Any]]:
    """Churn through `scale` times 15,000 jobs, once with each settings.

    Returns:
        By settings: jobs, bytes of the tables with their indexes before and after, and percentiles of the claims'
        seconds in the first and the last tenth.
    """
    lab.run("postgres", "ALTER SYSTEM SET autovacuum_naptime = '1s'", "SELECT pg_reload_conf()")
    return {name: _churn(lab, name, max(1_000, round(JOBS * scale))) for name in (WITH_OURS, WITH_DEFAULTS)}


def _churn(lab: Lab, name: str, jobs: int) -> dict[str, Any]:
    database = lab.create("bench_bloat", f"{OURS.tables}_fresh")
    if name == WITH_DEFAULTS:
        lab.run(database, *(f"ALTER TABLE {table} RESET ({RESET})" for table in TABLES))
    claims: list[float] = []
    with closing(lab.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(QUEUED, {"job_type": NOOP, "rows": WAITING, "first": 1, "last": WAITING})
        before = _sizes(cursor)
        for done in range(jobs):
            cursor.execute(QUEUED, {"job_type": NOOP, "rows": 1, "first": 1, "last": 1})
            started = time.perf_counter()
            cursor.execute(
                transitions.CLAIM, {"types": [NOOP], "worker": "bench", "lease_s": 30, "room": "{}", "limits": "{}"}
            )
            claims.append(time.perf_counter() - started)
            job = json.loads(cursor.fetchone()[0])
            mine = {"job_id": job["job_id"], "token": job["lease_token"]}
            for beat in range(BEATS):
                progress = json.dumps({"phase": "working", "done": beat})
                cursor.execute(transitions.HEARTBEAT, {**mine, "progress": progress, "renew": False, "lease_s": 30})
            cursor.execute(transitions.COMPLETE, {**mine, "result": "{}", "progress": None, "idle_ms": "0"})
            if done >= KEPT:
                cursor.execute(REMOVE)
        after = _sizes(cursor)
    tenth = len(claims) // 10
    return {
        "jobs": jobs,
        "bytes_before": before,
        "bytes_after": after,
        "first": queue_report.percentiles(claims[:tenth]),
        "last": queue_report.percentiles(claims[-tenth:]),
    }


def _sizes(cursor: Any) -> dict[str, int]:
    cursor.execute("SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname = ANY(%s)", [list(TABLES)])
    return dict(cursor.fetchall())
