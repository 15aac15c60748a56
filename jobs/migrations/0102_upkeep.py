"""The samples of the queue's length, and an index on when jobs failed: Home and every page's badge look there."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0101_order_and_room")]
    operations = [
        migrations.CreateModel(
            name="DepthSample",
            fields=[
                (
                    "half_hour",
                    models.BigIntegerField(help_text="half hours since 1970, UTC", primary_key=True, serialize=False),
                ),
                ("queued", models.BigIntegerField()),
            ],
            options={"db_table": "orchestrator_queue_depth", "default_permissions": ()},
        ),
        migrations.RunSQL(
            "CREATE INDEX jobs_failed_by_end ON orchestrator_jobs (completed_at DESC) WHERE status='failed'",
            "DROP INDEX jobs_failed_by_end",
        ),
    ]
