"""What a worker's host cannot do now, so that pages can say what a queued job waits for."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0108_worker_restarts")]
    operations = [
        migrations.AddField(
            "worker",
            "hindrances",
            models.JSONField(
                db_default={}, default=dict, help_text="for each type that its host cannot do now, why not"
            ),
        ),
    ]
