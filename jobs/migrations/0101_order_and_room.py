"""The order of claims with ageing, jobs that exclude each other, limits a type, and room on the disk.

Two unique indexes hold what claims that race could otherwise break: one running job a key, one running job a slot.
"""

from django.db import migrations, models
from django.db.models.functions import Now

FORWARD = """
UPDATE orchestrator_jobs SET order_at = created_at - make_interval(secs => priority * 36);
DROP INDEX jobs_to_claim;
CREATE INDEX jobs_to_claim ON orchestrator_jobs (order_at, job_id) WHERE status='queued';
CREATE UNIQUE INDEX jobs_one_running_a_key ON orchestrator_jobs (exclusive_key)
    WHERE status='processing' AND exclusive_key IS NOT NULL;
CREATE UNIQUE INDEX jobs_one_running_a_slot ON orchestrator_jobs (job_type, slot)
    WHERE status='processing' AND slot IS NOT NULL;
ALTER TABLE orchestrator_jobs
    ADD CONSTRAINT job_slot_only_while_processing CHECK (slot IS NULL OR (status='processing' AND slot > 0)),
    ADD CONSTRAINT job_needs_no_negative_room CHECK (needs_bytes >= 0);
"""

BACKWARD = """
ALTER TABLE orchestrator_jobs
    DROP CONSTRAINT job_slot_only_while_processing, DROP CONSTRAINT job_needs_no_negative_room;
DROP INDEX jobs_to_claim, jobs_one_running_a_key, jobs_one_running_a_slot;
CREATE INDEX jobs_to_claim ON orchestrator_jobs (priority DESC, created_at, job_id) WHERE status='queued';
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0100_measures")]
    operations = [
        migrations.AddField(
            "job",
            "order_at",
            models.DateTimeField(
                db_default=Now(), editable=False, help_text="created, moved by priority; claims go by it"
            ),
        ),
        migrations.AddField(
            "job", "exclusive_key", models.TextField(null=True, help_text="of jobs with one key, one runs at a time")
        ),
        migrations.AddField(
            "job",
            "slot",
            models.SmallIntegerField(null=True, help_text="which of its type's places it takes while it runs"),
        ),
        migrations.AddField(
            "job",
            "needs_bytes",
            models.BigIntegerField(db_default=0, default=0, help_text="room on the disk that it is expected to need"),
        ),
        migrations.AddField(
            "worker",
            "room",
            models.JSONField(
                db_default={}, default=dict, help_text="free bytes on its host for each type that needs room"
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
