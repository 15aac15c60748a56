"""Appending to the record in one statement: whoever waits for their turn waits for one answer and not for three.

The hash is that of `custody.chain.event_hash`: the caller brings the canonical JSON around the three values that come
with its turn (time, hash of the event before, number), in the order in which canonical JSON has them.
"""

from django.db import migrations

FORWARD = """
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

BACKWARD = "DROP FUNCTION orchestrator_custody_append"


class Migration(migrations.Migration):
    dependencies = [("custody", "0002_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
