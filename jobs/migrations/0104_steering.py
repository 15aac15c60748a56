"""Draining a worker, what was last seen of sources, and when each user was last here."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0103_attempt_indexes"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            name="Lookout",
            fields=[
                (
                    "name",
                    models.TextField(help_text="such as source.artifacts", primary_key=True, serialize=False),
                ),
                ("title", models.TextField()),
                ("ok", models.BooleanField()),
                ("detail", models.TextField(blank=True, help_text="one sentence")),
                ("seen_at", models.DateTimeField(help_text="when somebody last looked")),
                ("since", models.DateTimeField(help_text="when it was first seen as it is now")),
            ],
            options={"db_table": "orchestrator_lookouts", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="Visit",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("seen_at", models.DateTimeField(help_text="the last page of this visit, to the minute")),
                (
                    "before_at",
                    models.DateTimeField(help_text="the last page of the visit before; none at the first", null=True),
                ),
            ],
            options={"db_table": "orchestrator_visits", "default_permissions": ()},
        ),
        migrations.AddField(
            "worker",
            "drain_requested_at",
            models.DateTimeField(help_text="when it was asked to finish its job and leave", null=True),
        ),
        migrations.AddField(
            "worker",
            "drain_requested_by",
            models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AlterModelOptions(
            "worker",
            {
                "default_permissions": ("view",),
                "ordering": ("host", "pid"),
                "permissions": (("drain_worker", "Can ask a worker to finish and stop"),),
            },
        ),
    ]
