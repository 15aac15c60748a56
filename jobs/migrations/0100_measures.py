"""The table of histograms. Its number leaves room for the queue's own migrations before it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_transitions")]
    operations = [
        migrations.CreateModel(
            name="HistogramBucket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField(help_text="the metric's name")),
                ("le", models.FloatField(help_text="upper bound, inclusive; infinity for the last bucket")),
                ("count", models.BigIntegerField(default=0)),
                ("total", models.FloatField(default=0)),
            ],
            options={"db_table": "orchestrator_measures", "default_permissions": ()},
        ),
        migrations.AddConstraint(
            model_name="histogrambucket",
            constraint=models.UniqueConstraint(fields=("name", "le"), name="measure_once"),
        ),
    ]
