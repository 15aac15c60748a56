"""The table of results: each job inserts one row under its own id, exactly once, with its completion.

Ours and the loop written by hand insert it in the transaction that completes the job. The peers have no such
transaction: they insert the row in one of its own, and may do so again after a crash, so the row's id decides.
"""

CREATE = "CREATE TABLE bench_results (job_id text PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now())"
INSERT = "INSERT INTO bench_results (job_id) VALUES (%s)"
INSERT_ONCE = "INSERT INTO bench_results (job_id) VALUES ({}) ON CONFLICT (job_id) DO NOTHING"
COUNT = "SELECT count(*) FROM bench_results"
