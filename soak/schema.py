"""What the simulation adds to its database, beside the product's tables.

The database's clock is a sequence that the driver advances: functions that shadow PostgreSQL's own in the search path
read it, so the product's statements run unchanged. A trigger records every change of a job, in the transaction of the
change, with the name of the action whose session made it.
"""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2.extras import RealDictCursor

from soak.sessions import Database

START_US = 1_767_225_600_000_000  # 2026-01-01, in microseconds

SETUP = f"""
CREATE SEQUENCE soak_clock START {START_US};
CREATE SEQUENCE soak_token;
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT timestamptz 'epoch' + pg_catalog.nextval('public.soak_clock') * interval '1 microsecond' $$;
CREATE FUNCTION public.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT timestamptz 'epoch' + (SELECT last_value FROM public.soak_clock) * interval '1 microsecond' $$;
CREATE FUNCTION public.gen_random_uuid() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT pg_catalog.md5(pg_catalog.nextval('public.soak_token')::text)::uuid $$;

CREATE TABLE soak_moves (
    id bigserial, action text, at timestamptz, job_id uuid, was text, became text, token_was uuid, token uuid,
    lease_was timestamptz, due_was timestamptz, due timestamptz, retry_was int, retry_count int, max_retries int,
    cancel_was boolean, cancel_requested boolean, attempts_was int, attempts int, progress_was jsonb, progress jsonb,
    error_code text);
CREATE FUNCTION soak_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO soak_moves (action, at, job_id, was, became, token_was, token, lease_was, due_was, due, retry_was,
        retry_count, max_retries, cancel_was, cancel_requested, attempts_was, attempts, progress_was, progress,
        error_code)
    VALUES (current_setting('application_name'), public.statement_timestamp(), NEW.job_id, OLD.status, NEW.status,
        OLD.lease_token, NEW.lease_token, OLD.lease_expires_at, OLD.run_after, NEW.run_after, OLD.retry_count,
        NEW.retry_count, NEW.max_retries, OLD.cancel_requested, NEW.cancel_requested, OLD.attempts, NEW.attempts,
        OLD.progress, NEW.progress, NEW.error_code);
    RETURN NULL;
END $$;
CREATE TRIGGER soak_record AFTER INSERT OR UPDATE ON orchestrator_jobs FOR EACH ROW EXECUTE FUNCTION soak_record();
"""

RESET = f"""
SET session_replication_role = replica;
DELETE FROM orchestrator_idempotency; DELETE FROM orchestrator_job_attempts; DELETE FROM orchestrator_job_log;
DELETE FROM orchestrator_jobs; DELETE FROM orchestrator_job_totals; DELETE FROM orchestrator_bundles;
DELETE FROM orchestrator_custody; DELETE FROM orchestrator_stores; DELETE FROM soak_moves;
SET session_replication_role = origin;
SELECT setval('soak_clock', {START_US}), setval('soak_token', 1);
"""

CONTRADICTIONS = """
SELECT 'job ' || job.job_id || ': ' || fault FROM orchestrator_jobs job
LEFT JOIN LATERAL (
    SELECT count(*) AS tries, coalesce(max(number), 0) AS last, count(*) FILTER (WHERE outcome = 'running') AS running,
        count(*) FILTER (WHERE outcome = 'completed') AS completed,
        bool_or(outcome = 'running' AND lease_token IS NOT DISTINCT FROM job.lease_token) AS holds_lease
    FROM orchestrator_job_attempts WHERE job_id = job.job_id) attempt ON true
LEFT JOIN LATERAL (SELECT count(*) AS made FROM orchestrator_bundles WHERE job_id = job.job_id) bundle ON true
CROSS JOIN LATERAL (VALUES
    (attempts <> tries OR tries <> last, 'its attempts are not those in its history'),
    (running <> (status = 'processing')::int, 'a running attempt other than exactly while processing'),
    (status = 'processing' AND NOT coalesce(holds_lease, false), 'the running attempt has another token'),
    (completed <> (status = 'completed')::int, 'a completed attempt other than exactly when completed'),
    (made <> (status = 'completed' AND result <> '{}')::int, 'a result other than exactly when completed with one'),
    (retry_count > max_retries, 'more failed attempts than the limit')) AS checked (broken, fault)
WHERE broken
UNION ALL
SELECT 'two active jobs with the key ' || active_key FROM orchestrator_jobs
WHERE status IN ('queued', 'processing') GROUP BY active_key HAVING active_key IS NOT NULL AND count(*) > 1
UNION ALL
SELECT 'a result without a job' FROM orchestrator_bundles bundle
WHERE NOT EXISTS (SELECT 1 FROM orchestrator_jobs job WHERE job.job_id = bundle.job_id)"""

TOTALS = "SELECT status, sum(count)::bigint AS count FROM orchestrator_job_totals GROUP BY status"
KEYS = "SELECT principal, operation, key, job_id::text FROM orchestrator_idempotency"
RESULTS = "SELECT name, job_id::text FROM orchestrator_bundles"
WAITING = "SELECT pid FROM unnest(%s::int[]) AS given (pid) WHERE cardinality(pg_blocking_pids(pid)) > 0"
SESSIONS = """
SELECT application_name, pid, state, pg_blocking_pids(pid) AS waits_for, left(query, 40) AS query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' ORDER BY pid"""
ALIVE = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s::int[])"


class Control:
    """The driver's own session: reads, advances the clock and ends other sessions."""

    def __init__(self, database: Database) -> None:
        self._settings = database.settings
        self.connect()

    def connect(self) -> None:
        """Open the session; called again after a restart."""
        known = self._settings
        self._raw = psycopg2.connect(
            host=known["HOST"], port=known["PORT"], user=known["USER"], password=known["PASSWORD"] or None,
            dbname=known["NAME"], application_name="driver",
        )  # fmt: skip
        self._raw.autocommit = True

    def close(self) -> None:
        """End the session."""
        self._raw.close()

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a statement, if it has any."""
        with self._raw.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql, values or None)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def moves(self) -> list[dict[str, Any]]:
        """The changes of jobs committed since the last call, in order."""
        taken = self.rows("DELETE FROM soak_moves RETURNING *")
        return sorted(taken, key=lambda move: int(move["id"]))

    def advance(self, seconds: float) -> None:
        """Advance the database's clock."""
        self.rows("SELECT setval('soak_clock', last_value + %s) FROM soak_clock", int(seconds * 1e6))

    def waiting(self, pids: list[int]) -> set[int]:
        """Which of these server processes wait for a lock that another holds."""
        return {int(row["pid"]) for row in self.rows(WAITING, pids)}

    def alive(self, pids: set[int]) -> set[int]:
        """Which of these server processes still exist."""
        return {int(row["pid"]) for row in self.rows(ALIVE, list(pids))}

    def terminate(self, pid: int) -> None:
        """End a session as an administrator would; its transaction is rolled back."""
        self.rows("SELECT pg_terminate_backend(%s)", pid)
