"""What one would write by hand with psycopg2 on the same table: two commits a job, the row and the finish in one.

No attempt history, no heartbeat, no guard against a lost lease; the table's constraints and triggers hold for it too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from typing import Any

import psycopg2

from benchmarks.queue_sides import result_table, trace

CLAIM = """
UPDATE orchestrator_jobs SET status = 'processing', attempts = attempts + 1, worker_id = %s, started_at = now(),
    lease_token = %s, lease_expires_at = now() + interval '30 seconds'
WHERE job_id = (
    SELECT job_id FROM orchestrator_jobs WHERE status = 'queued' AND run_after <= now()
    ORDER BY order_at, job_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING job_id, payload"""
FINISH = """
UPDATE orchestrator_jobs SET status = 'completed', completed_at = now(), result = '{}', worker_id = '',
    lease_token = NULL, lease_expires_at = NULL
WHERE job_id = %s"""


def work() -> None:
    """Claim and finish jobs until SIGTERM."""
    connection: Any = psycopg2.connect(
        host=os.environ["DB_HOST"], dbname=os.environ["DB_NAME"], user=os.environ["DB_USER"]
    )
    worker = f"by-hand:{os.getpid()}"
    with connection.cursor() as cursor:
        while True:
            cursor.execute(CLAIM, (worker, str(uuid.uuid4())))
            claimed = cursor.fetchone()
            connection.commit()
            if claimed is None:
                time.sleep(0.1)
                continue
            trace.started()
            cursor.execute(result_table.INSERT, (claimed[0],))
            cursor.execute(FINISH, (claimed[0],))
            connection.commit()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    work()
