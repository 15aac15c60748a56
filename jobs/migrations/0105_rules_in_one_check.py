"""The rules about one row of 0002 and 0101, unchanged, held by one check a table instead of nineteen.

PostgreSQL reads every check of a table anew, from its text, with each statement that writes to it: for a job's two
writes that was a sixth of the server's work. One check that calls a function reads one call, and what the function
holds is read once a session. A broken rule is reported under the same name as before.
"""

from django.db import migrations

# Both raise instead of answering no, so that the error names the rule and not only the check.
FORWARD = """
CREATE FUNCTION orchestrator_job_is_sound(
    job_type text, status text, payload jsonb, progress jsonb, result jsonb, priority int,
    lease_token uuid, lease_expires_at timestamptz, worker_id text, slot smallint, needs_bytes bigint,
    started_at timestamptz, completed_at timestamptz, cancel_requested boolean, error_code text,
    attempts int, retry_count int, max_retries int
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    running CONSTANT boolean := status='processing';
    broken CONSTANT text := CASE
        WHEN status NOT IN ('queued', 'processing', 'completed', 'failed', 'cancelled') THEN 'job_status_known'
        WHEN running <> (lease_token IS NOT NULL) OR running <> (lease_expires_at IS NOT NULL)
            OR running <> (worker_id <> '') THEN 'job_lease_exactly_while_processing'
        WHEN (completed_at IS NOT NULL) <> (status IN ('completed', 'failed', 'cancelled'))
            THEN 'job_ended_exactly_when_over'
        WHEN status IN ('processing', 'completed', 'failed') AND (started_at IS NULL OR attempts <= 0)
            THEN 'job_started_when_claimed'
        WHEN max_retries NOT BETWEEN 1 AND 100 OR retry_count NOT BETWEEN 0 AND max_retries OR retry_count > attempts
            THEN 'job_retries_within_limit'
        WHEN status IN ('queued', 'processing') AND retry_count >= max_retries THEN 'job_active_has_a_try_left'
        WHEN status='failed' AND error_code='' THEN 'job_failed_says_why'
        WHEN status='completed' AND error_code <> '' THEN 'job_completed_without_error'
        WHEN (result IS NOT NULL) <> (status='completed') THEN 'job_result_exactly_when_completed'
        WHEN jsonb_typeof(progress) <> 'object' OR jsonb_typeof(payload) <> 'object'
            OR jsonb_typeof(result) <> 'object' THEN 'job_values_are_objects'
        WHEN status='queued' AND cancel_requested THEN 'job_queued_is_wanted'
        WHEN priority NOT BETWEEN -1000 AND 1000 THEN 'job_priority_in_range'
        WHEN job_type='' THEN 'job_type_named'
        WHEN slot IS NOT NULL AND (NOT running OR slot <= 0) THEN 'job_slot_only_while_processing'
        WHEN needs_bytes < 0 THEN 'job_needs_no_negative_room'
    END;
BEGIN
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'a job would break the rule "%"', broken
            USING ERRCODE = 'check_violation', CONSTRAINT = broken, TABLE = 'orchestrator_jobs';
    END IF;
    RETURN true;
END $$;

CREATE FUNCTION orchestrator_attempt_is_sound(number int, ended_at timestamptz, outcome text, error_code text)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    broken CONSTANT text := CASE
        WHEN outcome NOT IN ('running', 'completed', 'failed', 'cancelled', 'released', 'lost')
            THEN 'attempt_outcome_known'
        WHEN (ended_at IS NULL) <> (outcome='running') THEN 'attempt_ended_exactly_when_over'
        WHEN outcome IN ('failed', 'lost') AND error_code='' THEN 'attempt_failure_says_why'
        WHEN number <= 0 THEN 'attempt_numbered_from_one'
    END;
BEGIN
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'an attempt would break the rule "%"', broken
            USING ERRCODE = 'check_violation', CONSTRAINT = broken, TABLE = 'orchestrator_job_attempts';
    END IF;
    RETURN true;
END $$;

ALTER TABLE orchestrator_jobs
    ADD CONSTRAINT job_is_sound CHECK (orchestrator_job_is_sound(
        job_type, status, payload, progress, result, priority, lease_token, lease_expires_at, worker_id, slot,
        needs_bytes, started_at, completed_at, cancel_requested, error_code, attempts, retry_count, max_retries)),
    DROP CONSTRAINT job_status_known, DROP CONSTRAINT job_lease_exactly_while_processing,
    DROP CONSTRAINT job_ended_exactly_when_over, DROP CONSTRAINT job_started_when_claimed,
    DROP CONSTRAINT job_retries_within_limit, DROP CONSTRAINT job_active_has_a_try_left,
    DROP CONSTRAINT job_failed_says_why, DROP CONSTRAINT job_completed_without_error,
    DROP CONSTRAINT job_result_exactly_when_completed, DROP CONSTRAINT job_values_are_objects,
    DROP CONSTRAINT job_queued_is_wanted, DROP CONSTRAINT job_priority_in_range, DROP CONSTRAINT job_type_named,
    DROP CONSTRAINT job_slot_only_while_processing, DROP CONSTRAINT job_needs_no_negative_room;
ALTER TABLE orchestrator_job_attempts
    ADD CONSTRAINT attempt_is_sound CHECK (orchestrator_attempt_is_sound(number, ended_at, outcome, error_code)),
    DROP CONSTRAINT attempt_outcome_known, DROP CONSTRAINT attempt_ended_exactly_when_over,
    DROP CONSTRAINT attempt_failure_says_why, DROP CONSTRAINT attempt_numbered_from_one;
"""

BACKWARD = """
ALTER TABLE orchestrator_jobs
    ADD CONSTRAINT job_status_known CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    ADD CONSTRAINT job_lease_exactly_while_processing CHECK (
        (status='processing') = (lease_token IS NOT NULL)
        AND (status='processing') = (lease_expires_at IS NOT NULL)
        AND (status='processing') = (worker_id <> '')),
    ADD CONSTRAINT job_ended_exactly_when_over CHECK (
        (completed_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
    ADD CONSTRAINT job_started_when_claimed CHECK (
        status NOT IN ('processing', 'completed', 'failed') OR (started_at IS NOT NULL AND attempts > 0)),
    ADD CONSTRAINT job_retries_within_limit CHECK (
        max_retries BETWEEN 1 AND 100 AND retry_count BETWEEN 0 AND max_retries AND retry_count <= attempts),
    ADD CONSTRAINT job_active_has_a_try_left CHECK (
        status NOT IN ('queued', 'processing') OR retry_count < max_retries),
    ADD CONSTRAINT job_failed_says_why CHECK (status <> 'failed' OR error_code <> ''),
    ADD CONSTRAINT job_completed_without_error CHECK (status <> 'completed' OR error_code = ''),
    ADD CONSTRAINT job_result_exactly_when_completed CHECK ((result IS NOT NULL) = (status='completed')),
    ADD CONSTRAINT job_values_are_objects CHECK (
        jsonb_typeof(progress) = 'object' AND jsonb_typeof(payload) = 'object'
        AND (result IS NULL OR jsonb_typeof(result) = 'object')),
    ADD CONSTRAINT job_queued_is_wanted CHECK (status <> 'queued' OR NOT cancel_requested),
    ADD CONSTRAINT job_priority_in_range CHECK (priority BETWEEN -1000 AND 1000),
    ADD CONSTRAINT job_type_named CHECK (job_type <> ''),
    ADD CONSTRAINT job_slot_only_while_processing CHECK (slot IS NULL OR (status='processing' AND slot > 0)),
    ADD CONSTRAINT job_needs_no_negative_room CHECK (needs_bytes >= 0),
    DROP CONSTRAINT job_is_sound;
ALTER TABLE orchestrator_job_attempts
    ADD CONSTRAINT attempt_outcome_known CHECK (
        outcome IN ('running', 'completed', 'failed', 'cancelled', 'released', 'lost')),
    ADD CONSTRAINT attempt_ended_exactly_when_over CHECK ((ended_at IS NULL) = (outcome = 'running')),
    ADD CONSTRAINT attempt_failure_says_why CHECK (outcome NOT IN ('failed', 'lost') OR error_code <> ''),
    ADD CONSTRAINT attempt_numbered_from_one CHECK (number > 0),
    DROP CONSTRAINT attempt_is_sound;
DROP FUNCTION orchestrator_attempt_is_sound, orchestrator_job_is_sound;
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0104_steering")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
