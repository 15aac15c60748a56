"""How long the queue was over the last day, told from the jobs' own times; no history table is kept."""

from __future__ import annotations

from django.db import connection

BUCKET_S = 1800
BUCKETS = 48

# Jobs that came (+1) and jobs that left the queue (-1) in each half hour, counted back from now.
CHANGES_SQL = """
SELECT bucket, sum(change)
FROM (
    SELECT floor(extract(epoch FROM now() - created_at) / %(bucket_s)s)::int AS bucket, 1 AS change
    FROM orchestrator_jobs
    WHERE created_at > now() - %(span_s)s * interval '1 second'
    UNION ALL
    SELECT floor(extract(epoch FROM now() - coalesce(started_at, completed_at)) / %(bucket_s)s)::int, -1
    FROM orchestrator_jobs
    WHERE status <> 'queued' AND coalesce(started_at, completed_at) > now() - %(span_s)s * interval '1 second'
) AS changes
GROUP BY bucket
"""


def queued_over_a_day(queued_now: int) -> list[int]:
    """The number of queued jobs each half hour of the last day, oldest first, ending with `queued_now`.

    A job that was tried again counts by its last start, so the past can look shorter than it was, never longer than
    the jobs that existed.
    """
    with connection.cursor() as cursor:
        cursor.execute(CHANGES_SQL, {"bucket_s": BUCKET_S, "span_s": BUCKET_S * BUCKETS})
        changes: dict[int, int] = {int(bucket): int(change) for bucket, change in cursor.fetchall()}
    depths = [queued_now]
    for bucket in range(BUCKETS):
        depths.append(depths[-1] - changes.get(bucket, 0))
    return [max(0, depth) for depth in reversed(depths)]
