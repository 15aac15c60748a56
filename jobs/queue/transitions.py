"""The state machine, as SQL: every change of a job's state is one statement in this file, and nowhere else.

Each WHERE says who may make the change and from which state, so that of two racing connections one wins and the other
finds no row. The database's clock decides leases and backoff. `jobs.queue.queue` runs them; docs/job-lifecycle.md
explains them.
"""
# ruff: noqa: S608 # statements are built from constants of this file; every value is a parameter

# Only the holder of the token of a valid lease. An expired lease is over even if no other worker has taken the job: a
# worker that was frozen past it must not be able to complete the job, whenever it wakes.
# IS TRUE keeps the planner off the index on states, where it would read the dead rows of recently run jobs.
MINE = """job_id = %(job_id)s AND lease_token = %(token)s AND (status = 'processing') IS TRUE
    AND lease_expires_at > clock_timestamp()"""
UNLEASED = "lease_token = NULL, lease_expires_at = NULL, worker_id = '', slot = NULL"
PROGRESS = """COALESCE(%(progress)s::jsonb || jsonb_build_object('updated_at',
        to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), progress)"""
CLOSE_ATTEMPT = """closed AS (
    UPDATE orchestrator_job_attempts attempt
    SET ended_at = clock_timestamp(), outcome = {outcome}, error_code = {code}, error_message = {message},
        phases = COALESCE({of}.progress->'phases_s', '{{}}')
    FROM {of} WHERE attempt.job_id = {of}.job_id AND attempt.number = {of}.attempts)"""

# The end of a job with a place of its type, or a key, lets another job start: the transition notifies idle workers.
FREED = "CASE WHEN %(freed)s::text <> '' THEN pg_notify(%(freed)s, '') END"

# A worker that is frozen in the transaction that ends a job holds the row's lock, which prevents recovery, and perhaps
# the lock of custody. Its supervisor kills it, and keepalives end the session of a lost host; the server's idle limit
# covers other cases.
IDLE_LIMIT = """set_config('idle_in_transaction_session_timeout',
    COALESCE(%(idle_ms)s::text, current_setting('idle_in_transaction_session_timeout')), true)"""

# FOR NO KEY UPDATE, here and in RECOVER, blocks every other change of the row, but not the foreign key checks of rows
# that refer to it. A request whose idempotency key names the job makes that check at COMMIT; FOR UPDATE could deadlock
# with it.
#
# Reads the partial index jobs_to_claim (order_at, job_id WHERE queued) and stops at the first row that is due, of a
# known type with a place left, fits on this host's disk, excludes no running job and is not locked by another claim.
# CASE keeps the subquery for a running job with the same key from becoming a join, which would not use the index.
CLAIM = """
WITH next AS (
    SELECT job_id, job_type FROM orchestrator_jobs job
    WHERE status = 'queued' AND run_after <= statement_timestamp() AND job_type = ANY(%(types)s)
        AND (needs_bytes = 0 OR needs_bytes <= COALESCE((%(room)s::jsonb->>job_type)::bigint, needs_bytes))
        AND CASE WHEN exclusive_key IS NULL THEN true ELSE NOT EXISTS (
            SELECT FROM orchestrator_jobs other
            WHERE other.status = 'processing' AND other.exclusive_key = job.exclusive_key) END
        AND CASE WHEN %(limits)s::jsonb ? job_type THEN (
            SELECT count(*) FROM orchestrator_jobs other
            WHERE other.status = 'processing' AND other.job_type = job.job_type AND other.slot IS NOT NULL
            ) < (%(limits)s::jsonb->>job_type)::int ELSE true END
    ORDER BY order_at, job_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED),
moved AS (
    UPDATE orchestrator_jobs job
    SET status = 'processing', attempts = attempts + 1, worker_id = %(worker)s, started_at = clock_timestamp(),
        lease_token = gen_random_uuid(), lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s),
        progress = '{}', waits_for = '', slot = CASE WHEN %(limits)s::jsonb ? next.job_type THEN (
            SELECT min(place) FROM generate_series(1, (%(limits)s::jsonb->>next.job_type)::int) place
            WHERE NOT EXISTS (SELECT FROM orchestrator_jobs other WHERE other.status = 'processing'
                AND other.job_type = next.job_type AND other.slot = place)) END
    FROM next WHERE job.job_id = next.job_id RETURNING job.*),
opened AS (
    INSERT INTO orchestrator_job_attempts
        (job_id, number, worker_id, lease_token, started_at, outcome, error_code, error_message)
    SELECT job_id, attempts, worker_id, lease_token, started_at, 'running', '', '' FROM moved)
SELECT to_json(moved)::text FROM moved"""

HEARTBEAT = f"""
UPDATE orchestrator_jobs
SET progress = {PROGRESS},
    lease_expires_at = CASE WHEN %(renew)s THEN clock_timestamp() + make_interval(secs => %(lease_s)s)
                            ELSE lease_expires_at END
WHERE {MINE} RETURNING to_json(orchestrator_jobs)::text"""

COMPLETE = f"""
WITH done AS (
    UPDATE orchestrator_jobs
    SET status = 'completed', completed_at = clock_timestamp(), result = %(result)s::jsonb,
        progress = {PROGRESS}, error_code = '', error_message = '', {UNLEASED}
    WHERE {MINE} RETURNING job_id, attempts, progress),
{CLOSE_ATTEMPT.format(of="done", outcome="'completed'", code="''", message="''")}
SELECT {IDLE_LIMIT}, {FREED} FROM done"""

# The jitter (half to one and a half times the delay) spreads jobs that failed together. The payload of the notice is
# the number of seconds until the job is due again.
FAIL = f"""
WITH moved AS (
    UPDATE orchestrator_jobs
    SET status = CASE WHEN %(permanent)s OR retry_count + 1 >= max_retries THEN 'failed'
                      WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,
        completed_at = CASE WHEN %(permanent)s OR retry_count + 1 >= max_retries OR cancel_requested
                            THEN clock_timestamp() END,
        run_after = clock_timestamp()
            + make_interval(secs => GREATEST(
                %(not_before_s)s, (0.5 + random()) * LEAST(%(most_s)s, %(first_s)s * 2 ^ retry_count))),
        retry_count = retry_count + 1, error_code = %(code)s, error_message = %(message)s,
        needs_bytes = GREATEST(needs_bytes, %(needs_bytes)s), {UNLEASED}
    WHERE {MINE} RETURNING *),
{CLOSE_ATTEMPT.format(of="moved", outcome="'failed'", code="%(code)s", message="%(message)s")}
SELECT to_json(moved)::text, {FREED}, CASE WHEN %(channel)s::text <> '' AND status = 'queued' THEN
    pg_notify(%(channel)s, extract(epoch FROM run_after - clock_timestamp())::text) END, {IDLE_LIMIT} FROM moved"""

RELEASE = f"""
WITH moved AS (
    UPDATE orchestrator_jobs
    SET status = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,
        completed_at = CASE WHEN cancel_requested THEN clock_timestamp() END,
        run_after = clock_timestamp(), {UNLEASED}
    WHERE {MINE} RETURNING *),
{CLOSE_ATTEMPT.format(of="moved", outcome="'released'", code="''", message="%(reason)s")}
SELECT to_json(moved)::text FROM moved"""

HONOUR_CANCEL = f"""
WITH moved AS (
    UPDATE orchestrator_jobs SET status = 'cancelled', completed_at = clock_timestamp(), {UNLEASED}
    WHERE {MINE} AND cancel_requested RETURNING *),
{CLOSE_ATTEMPT.format(of="moved", outcome="'cancelled'", code="''", message="''")}
SELECT to_json(moved)::text, {FREED} FROM moved"""

CANCEL = """
UPDATE orchestrator_jobs
SET cancel_requested = (status = 'processing'),
    completed_at = CASE WHEN status = 'queued' THEN clock_timestamp() END, waits_for = '',
    status = CASE WHEN status = 'queued' THEN 'cancelled' ELSE status END
WHERE job_id = %(job_id)s AND status IN ('queued', 'processing') RETURNING to_json(orchestrator_jobs)::text"""

RETRY = """
UPDATE orchestrator_jobs
SET status = 'queued', retry_count = 0, run_after = clock_timestamp() + make_interval(secs => %(delay_s)s),
    completed_at = NULL, cancel_requested = false, error_code = '', error_message = '', progress = '{}',
    waits_for = %(waits_for)s
WHERE job_id = %(job_id)s AND status IN ('failed', 'cancelled') RETURNING to_json(orchestrator_jobs)::text"""

# Both read the index jobs_that_wait. A claim may take a job that waits once it is due; it then waits no more.
RELEASE_WAITING = """
UPDATE orchestrator_jobs SET waits_for = '', run_after = clock_timestamp()
WHERE waits_for = %(waits_for)s AND waits_for <> '' AND status = 'queued' RETURNING to_json(orchestrator_jobs)::text"""

POSTPONE_WAITING = """
UPDATE orchestrator_jobs SET run_after = clock_timestamp() + make_interval(secs => %(delay_s)s)
WHERE waits_for = %(waits_for)s AND waits_for <> '' AND status = 'queued' RETURNING to_json(orchestrator_jobs)::text"""

# Reads the index jobs_leased. SKIP LOCKED skips a job whose worker is writing to it, above all completing it.
# The reason depends on the worker: one with a heartbeat within a lease has not died.
RECOVER = f"""
WITH expired AS (
    SELECT job_id, CASE WHEN EXISTS (
        SELECT FROM orchestrator_workers worker
        WHERE worker.worker_id = orchestrator_jobs.worker_id AND worker.state <> 'stopped'
            AND worker.heartbeat_at > statement_timestamp() - make_interval(secs => %(lease_s)s)
        ) THEN %(lives)s ELSE %(died)s END AS reason
    FROM orchestrator_jobs
    WHERE status = 'processing' AND lease_expires_at <= statement_timestamp()
        AND (%(ids)s::uuid[] IS NULL OR job_id = ANY(%(ids)s::uuid[]))
    ORDER BY job_id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED),
moved AS (
    UPDATE orchestrator_jobs job
    SET status = CASE WHEN cancel_requested THEN 'cancelled' WHEN retry_count + 1 >= max_retries THEN 'failed'
                      ELSE 'queued' END,
        completed_at = CASE WHEN cancel_requested OR retry_count + 1 >= max_retries THEN clock_timestamp() END,
        error_code = CASE WHEN retry_count + 1 >= max_retries AND NOT cancel_requested THEN 'poison'
                          ELSE 'lease_expired' END,
        error_message = reason, retry_count = retry_count + 1, run_after = clock_timestamp(), {UNLEASED}
    FROM expired WHERE job.job_id = expired.job_id RETURNING job.*),
{CLOSE_ATTEMPT.format(of="moved", outcome="'lost'", code="'lease_expired'", message="moved.error_message")}
SELECT to_json(moved)::text, {IDLE_LIMIT} FROM moved"""

NEXT_EXPIRY = """
SELECT extract(epoch FROM min(lease_expires_at) - clock_timestamp()) FROM orchestrator_jobs WHERE status = 'processing'
"""
