"""Jobs by the million, made by set-based SQL with the triggers of this session off; their totals are added beside.

Every check constraint and index holds as for any other row. With the triggers on, each row would update the same few
totals, and one transaction would walk over a million dead versions of them.
"""

from __future__ import annotations

from typing import Any

BATCH = 100_000

QUEUED = """
INSERT INTO orchestrator_jobs
    (job_id, job_type, status, payload, idempotency_key, created_at, run_after, priority, incident_id, requested_by,
     active_key, max_retries, retry_count, attempts, progress, cancel_requested, worker_id, error_code, error_message)
SELECT gen_random_uuid(), %(job_type)s, 'queued', '{"chunk_size_mb": 256}', '',
       now() - make_interval(secs => 86400.0 * (%(rows)s - n) / %(rows)s), now(), 100 + n %% 3,
       'incident-' || n %% 5000, 'analyst', NULL, 3, 0, 0, '{}', false, '', '', ''
FROM generate_series(%(first)s, %(last)s) AS n"""

# As the queue's own statements leave a job: the same columns, in the same two steps, each its own row version.
CLAIMED = """
WITH moved AS (
    UPDATE orchestrator_jobs SET status = 'processing', attempts = 1, worker_id = 'bench', started_at = now(),
        lease_token = gen_random_uuid(), lease_expires_at = now() + interval '30 seconds'
    WHERE status = 'queued' RETURNING *)
INSERT INTO orchestrator_job_attempts
    (job_id, number, worker_id, lease_token, started_at, outcome, error_code, error_message)
SELECT job_id, 1, worker_id, lease_token, started_at, 'running', '', '' FROM moved"""
FINISHED = """
WITH moved AS (
    UPDATE orchestrator_jobs SET status = 'completed', completed_at = now(), result = '{}', lease_token = NULL,
        lease_expires_at = NULL, worker_id = ''
    WHERE status = 'processing' RETURNING *)
UPDATE orchestrator_job_attempts attempt SET ended_at = now(), outcome = 'completed'
FROM moved WHERE attempt.job_id = moved.job_id AND attempt.number = moved.attempts"""
COUNTED = """
INSERT INTO orchestrator_job_totals AS total (job_type, status, shard, count) VALUES (%s, %s, 0, %s)
ON CONFLICT (job_type, status, shard) DO UPDATE SET count = total.count + excluded.count"""


def make(connection: Any, rows: int, *, job_type: str, finish: bool = False) -> None:
    """Add `rows` jobs, a day's worth by age, of three priorities.

    Args:
        connection: psycopg2, committing by itself; its session is made to skip triggers.
        rows: how many.
        job_type: of all of them.
        finish: whether they go on to be claimed and completed, which leaves the dead versions that finished work
            leaves, until autovacuum takes them; the table must hold no other queued job.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for first in range(1, rows + 1, BATCH):
            last = min(first + BATCH - 1, rows)
            cursor.execute(QUEUED, {"job_type": job_type, "rows": rows, "first": first, "last": last})
            for statement in (CLAIMED, FINISHED) if finish else ():
                cursor.execute(statement)
        for state in ("queued", "processing", "completed") if finish else ("queued",):
            cursor.execute(COUNTED, (job_type, state, rows))
        cursor.execute("SET session_replication_role = origin")
