"""The triggers of 0003, for less work of the server: which columns they watch is told by name, not by a condition.

A condition is read anew, from its text, with each statement that writes; a list of columns is not. And a count goes to
the row of the session's own number, so that sessions that count at the same time do not wait for each other; the row is
nearly always there, so it is changed first and made when it was not.
"""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION orchestrator_jobs_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status=OLD.status THEN
        IF NEW.lease_token IS DISTINCT FROM OLD.lease_token THEN
            RAISE EXCEPTION 'job %: a lease cannot change hands while it is %', OLD.job_id, OLD.status
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (OLD.status || '>' || NEW.status) NOT IN (
        'queued>processing', 'queued>cancelled',
        'processing>completed', 'processing>failed', 'processing>cancelled', 'processing>queued',
        'failed>queued', 'cancelled>queued')
    THEN
        RAISE EXCEPTION 'job %: % cannot become %', OLD.job_id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.attempts <> OLD.attempts + (NEW.status='processing')::int THEN
        RAISE EXCEPTION 'job %: an attempt is counted exactly when it is claimed', OLD.job_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION orchestrator_jobs_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.status=OLD.status THEN
        RETURN NULL;
    END IF;
    UPDATE orchestrator_job_totals SET count = count + 1
    WHERE job_type=NEW.job_type AND status=NEW.status AND shard = pg_backend_pid() % 16;
    IF NOT FOUND THEN
        INSERT INTO orchestrator_job_totals AS total (job_type, status, shard, count)
        VALUES (NEW.job_type, NEW.status, pg_backend_pid() % 16, 1)
        ON CONFLICT (job_type, status, shard) DO UPDATE SET count = total.count + 1;
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER orchestrator_jobs_count_moved ON orchestrator_jobs;
DROP TRIGGER orchestrator_jobs_move ON orchestrator_jobs;
CREATE TRIGGER orchestrator_jobs_move BEFORE UPDATE OF status, lease_token ON orchestrator_jobs FOR EACH ROW
    EXECUTE FUNCTION orchestrator_jobs_move();
CREATE TRIGGER orchestrator_jobs_count_moved AFTER UPDATE OF status ON orchestrator_jobs FOR EACH ROW
    EXECUTE FUNCTION orchestrator_jobs_count();
"""

BACKWARD = """
CREATE OR REPLACE FUNCTION orchestrator_jobs_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status=OLD.status THEN
        RAISE EXCEPTION 'job %: a lease cannot change hands while it is %', OLD.job_id, OLD.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF (OLD.status || '>' || NEW.status) NOT IN (
        'queued>processing', 'queued>cancelled',
        'processing>completed', 'processing>failed', 'processing>cancelled', 'processing>queued',
        'failed>queued', 'cancelled>queued')
    THEN
        RAISE EXCEPTION 'job %: % cannot become %', OLD.job_id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.attempts <> OLD.attempts + (NEW.status='processing')::int THEN
        RAISE EXCEPTION 'job %: an attempt is counted exactly when it is claimed', OLD.job_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION orchestrator_jobs_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orchestrator_job_totals AS total (job_type, status, shard, count)
    VALUES (NEW.job_type, NEW.status, floor(random() * 8)::smallint, 1)
    ON CONFLICT (job_type, status, shard) DO UPDATE SET count = total.count + 1;
    RETURN NULL;
END $$;

DROP TRIGGER orchestrator_jobs_count_moved ON orchestrator_jobs;
DROP TRIGGER orchestrator_jobs_move ON orchestrator_jobs;
CREATE TRIGGER orchestrator_jobs_move BEFORE UPDATE ON orchestrator_jobs FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.lease_token IS DISTINCT FROM NEW.lease_token)
    EXECUTE FUNCTION orchestrator_jobs_move();
CREATE TRIGGER orchestrator_jobs_count_moved AFTER UPDATE ON orchestrator_jobs FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION orchestrator_jobs_count();
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0105_rules_in_one_check")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
