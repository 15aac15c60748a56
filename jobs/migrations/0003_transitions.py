"""Every rule about a change that SQL can hold: which state may follow which, and that each entry is counted.

The counts stand in a trigger so that no writer can forget them, and in the transaction of the change itself. A count
goes to the row of the session's own number, so that sessions that count at the same time do not wait for each other.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION orchestrator_jobs_move() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE FUNCTION orchestrator_jobs_count() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER orchestrator_jobs_move BEFORE UPDATE OF status, lease_token ON orchestrator_jobs FOR EACH ROW
    EXECUTE FUNCTION orchestrator_jobs_move();
CREATE TRIGGER orchestrator_jobs_count_moved AFTER UPDATE OF status ON orchestrator_jobs FOR EACH ROW
    EXECUTE FUNCTION orchestrator_jobs_count();
CREATE TRIGGER orchestrator_jobs_count_new AFTER INSERT ON orchestrator_jobs FOR EACH ROW
    EXECUTE FUNCTION orchestrator_jobs_count();
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_rules")]
    operations = [migrations.RunSQL(FORWARD)]
