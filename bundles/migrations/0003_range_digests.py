"""Digests of the ranges of each bundle's file; those of bundles that exist come with their next verification."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("bundles", "0002_timelines")]

    operations = [
        migrations.AddIndex(model_name="bundle", index=models.Index(fields=["size"], name="bundle_size")),
        migrations.CreateModel(
            name="RangeDigests",
            fields=[
                (
                    "bundle",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="range_digests",
                        serialize=False,
                        to="bundles.bundle",
                    ),
                ),
                (
                    "digests",
                    models.BinaryField(
                        help_text="32 bytes a range, in order; bundles.format.reading.ranges tells how long one is"
                    ),
                ),
                (
                    "root",
                    models.CharField(db_index=True, help_text="SHA-256 of `digests`, hex", max_length=64),
                ),
            ],
            options={
                "db_table": "orchestrator_bundle_ranges",
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("root__regex", "^[0-9a-f]{64}$")), name="bundle_range_root_is_hex"
                    )
                ],
            },
        ),
    ]
