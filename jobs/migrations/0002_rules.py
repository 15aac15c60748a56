"""Every rule about one row that SQL can hold, the indexes that decide speed, and settings against bloat.

Two unique indexes hold what claims that race could otherwise break: one running job a key, one running job a slot.
"""

from django.db import migrations

FORWARD = """
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
    ADD CONSTRAINT job_waits_only_while_queued CHECK (waits_for = '' OR status='queued');

CREATE UNIQUE INDEX jobs_one_active_a_key ON orchestrator_jobs (active_key)
    WHERE status IN ('queued', 'processing');
CREATE INDEX jobs_to_claim ON orchestrator_jobs (order_at, job_id) WHERE status='queued';
CREATE INDEX jobs_leased ON orchestrator_jobs (lease_expires_at) WHERE status='processing';
CREATE UNIQUE INDEX jobs_one_running_a_key ON orchestrator_jobs (exclusive_key)
    WHERE status='processing' AND exclusive_key IS NOT NULL;
CREATE UNIQUE INDEX jobs_one_running_a_slot ON orchestrator_jobs (job_type, slot)
    WHERE status='processing' AND slot IS NOT NULL;
CREATE INDEX jobs_that_wait ON orchestrator_jobs (waits_for) WHERE waits_for <> '';
CREATE INDEX jobs_failed_by_end ON orchestrator_jobs (completed_at DESC) WHERE status='failed';

ALTER TABLE orchestrator_jobs SET (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE orchestrator_job_totals SET (
    fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE orchestrator_workers SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
ALTER TABLE orchestrator_job_attempts SET (fillfactor = 80);

ALTER TABLE orchestrator_job_attempts
    ADD CONSTRAINT attempt_outcome_known CHECK (
        outcome IN ('running', 'completed', 'failed', 'cancelled', 'released', 'lost')),
    ADD CONSTRAINT attempt_ended_exactly_when_over CHECK ((ended_at IS NULL) = (outcome = 'running')),
    ADD CONSTRAINT attempt_failure_says_why CHECK (outcome NOT IN ('failed', 'lost') OR error_code <> ''),
    ADD CONSTRAINT attempt_numbered_from_one CHECK (number > 0);
CREATE UNIQUE INDEX attempts_one_running_a_job ON orchestrator_job_attempts (job_id) WHERE outcome = 'running';
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD)]
