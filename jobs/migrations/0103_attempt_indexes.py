"""The index on (job, number) serves what the one on job alone served; every attempt wrote both."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0102_upkeep")]

    operations = [
        migrations.AlterField(
            "attempt",
            "job",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="history",
                to="jobs.job",
            ),
        ),
    ]
