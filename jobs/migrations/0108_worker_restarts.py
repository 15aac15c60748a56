"""How many worker processes were replaced, by host, hour and reason."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0107_attempts_by_token")]
    operations = [
        migrations.CreateModel(
            name="WorkerRestart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("host", models.TextField()),
                ("hour", models.BigIntegerField(help_text="hours since 1970, UTC")),
                (
                    "reason",
                    models.TextField(
                        choices=[
                            ("crashed", "ended unasked"),
                            ("silent", "gave no sign of life"),
                            ("not_up", "did not come up in time"),
                        ]
                    ),
                ),
                ("count", models.BigIntegerField()),
                ("last_at", models.DateTimeField()),
                ("last_detail", models.TextField(help_text="of the last one, such as its exit code")),
            ],
            options={
                "db_table": "orchestrator_worker_restarts",
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("host", "hour", "reason"), name="restart_count_once")],
            },
        ),
    ]
