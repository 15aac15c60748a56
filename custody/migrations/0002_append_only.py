"""The database itself keeps the record append-only and in order, whoever writes to it.

`orchestrator_custody_append` appends in one statement: whoever waits for their turn waits for one answer and not for
three. The hash is that of `custody.chain.event_hash`: the caller brings the canonical JSON around the three values that
come with its turn (time, hash of the event before, number), in the order in which canonical JSON has them.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION orchestrator_custody_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'orchestrator_custody is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION orchestrator_custody_follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last_sequence bigint;
    last_hash text;
BEGIN
    SELECT sequence, hash INTO last_sequence, last_hash FROM orchestrator_custody ORDER BY sequence DESC LIMIT 1;
    last_sequence := COALESCE(last_sequence, 0);
    last_hash := COALESCE(last_hash, repeat('0', 64));
    IF NEW.sequence <> last_sequence + 1 OR NEW.previous_hash <> last_hash THEN
        RAISE EXCEPTION 'orchestrator_custody: event % does not follow event %', NEW.sequence, last_sequence
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER orchestrator_custody_no_change BEFORE UPDATE OR DELETE ON orchestrator_custody
    FOR EACH ROW EXECUTE FUNCTION orchestrator_custody_refuse();
CREATE TRIGGER orchestrator_custody_no_truncate BEFORE TRUNCATE ON orchestrator_custody
    FOR EACH STATEMENT EXECUTE FUNCTION orchestrator_custody_refuse();
CREATE TRIGGER orchestrator_custody_in_order BEFORE INSERT ON orchestrator_custody
    FOR EACH ROW EXECUTE FUNCTION orchestrator_custody_follow();
REVOKE UPDATE, DELETE, TRUNCATE ON orchestrator_custody FROM PUBLIC, CURRENT_USER;
ALTER TABLE orchestrator_custody
    ADD CONSTRAINT custody_hash_is_hex CHECK (hash ~ '^[0-9a-f]{64}$' AND previous_hash ~ '^[0-9a-f]{64}$');

-- The events of one job, for custody.folding.
CREATE INDEX custody_job ON orchestrator_custody (
    substring(details from '"job_id":"([0-9a-f-]{36})"'), sequence)
    WHERE substring(details from '"job_id":"([0-9a-f-]{36})"') IS NOT NULL;

CREATE FUNCTION orchestrator_custody_append(
    before_at text, before_previous_hash text, before_sequence text,
    its_actor text, its_authenticated_by text, its_address text, its_action text, its_object_type text,
    its_object_id text, its_incident_id text, its_digest text, its_outcome text, its_details text
) RETURNS orchestrator_custody LANGUAGE plpgsql AS $$
DECLARE
    made orchestrator_custody;
BEGIN
    PERFORM pg_advisory_xact_lock(1380273987);
    SELECT sequence + 1, hash INTO made.sequence, made.previous_hash
    FROM orchestrator_custody ORDER BY sequence DESC LIMIT 1;
    made.sequence := COALESCE(made.sequence, 1);
    made.previous_hash := COALESCE(made.previous_hash, repeat('0', 64));
    made.at := clock_timestamp();
    made.hash := encode(sha256(convert_to(
        before_at || to_char(made.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || before_previous_hash || made.previous_hash || before_sequence || made.sequence || '}', 'UTF8')), 'hex');
    made.actor := its_actor;
    made.authenticated_by := its_authenticated_by;
    made.address := its_address;
    made.action := its_action;
    made.object_type := its_object_type;
    made.object_id := its_object_id;
    made.incident_id := its_incident_id;
    made.digest := its_digest;
    made.outcome := its_outcome;
    made.details := its_details;
    INSERT INTO orchestrator_custody SELECT made.*;
    RETURN made;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("custody", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD)]
