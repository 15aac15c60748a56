"""The database itself keeps the record append-only and in order, whoever writes to it."""

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
"""

BACKWARD = """
DROP TRIGGER orchestrator_custody_in_order ON orchestrator_custody;
DROP TRIGGER orchestrator_custody_no_truncate ON orchestrator_custody;
DROP TRIGGER orchestrator_custody_no_change ON orchestrator_custody;
DROP FUNCTION orchestrator_custody_follow();
DROP FUNCTION orchestrator_custody_refuse();
ALTER TABLE orchestrator_custody DROP CONSTRAINT custody_hash_is_hex;
GRANT UPDATE, DELETE, TRUNCATE ON orchestrator_custody TO CURRENT_USER;
"""


class Migration(migrations.Migration):
    dependencies = [("custody", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
