"""The artifacts of every bundle as rows, read out of the manifests that are stored, and the indexes of the search.

The indexes come last, as filling a table that has them takes longer. `bundles.artifacts.index` writes the same rows for
a bundle that is being made; what is here is a copy of its meaning on purpose, so that it stays what it was on the day
of the release. Names in a bundle are the last parts of paths, except that a backslash stands in them as `%5C`: the
first name index holds what follows the last one, the second the whole name where there is one.
"""

import django.db.models.deletion
from django.db import migrations, models

# A manifest that jsonb would refuse (U+0000 in the reason of a gap) is not stored: its bundle's row holds the same
# gaps as jsonb.
FILL = """
INSERT INTO orchestrator_bundle_artifacts (bundle_id, place, artifact_id, name, size, sha256)
SELECT manifest.bundle_id, file.nth - 1, split_part(file.entry ->> 'path', '/', 2),
       split_part(file.entry ->> 'path', '/', 3), (file.entry ->> 'size')::bigint, file.entry ->> 'sha256'
FROM orchestrator_bundle_manifests AS manifest
CROSS JOIN LATERAL jsonb_array_elements(convert_from(manifest.raw, 'UTF8')::jsonb -> 'files')
    WITH ORDINALITY AS file (entry, nth)
WHERE file.entry ->> 'path' LIKE 'artifacts/%';
"""

BY_NAME = """
CREATE INDEX bundled_artifact_by_name ON orchestrator_bundle_artifacts
    (lower(regexp_replace(name, '^.*%5C', '')) text_pattern_ops);
CREATE INDEX bundled_artifact_by_path ON orchestrator_bundle_artifacts (lower(name) text_pattern_ops)
    WHERE strpos(name, '%5C') > 0;
"""

NOT_BY_NAME = """
DROP INDEX bundled_artifact_by_path;
DROP INDEX bundled_artifact_by_name;
"""


class Migration(migrations.Migration):
    dependencies = [("bundles", "0004_signer_index")]

    operations = [
        migrations.CreateModel(
            name="BundledArtifact",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "bundle_id", "place", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("place", models.IntegerField(help_text="which of the manifest's files, from 0")),
                ("artifact_id", models.TextField()),
                ("name", models.TextField(help_text="last part of the file's path in the bundle")),
                ("size", models.BigIntegerField(help_text="bytes")),
                ("sha256", models.CharField(help_text="hex", max_length=64)),
                (
                    "bundle",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="artifacts",
                        to="bundles.bundle",
                    ),
                ),
            ],
            options={"db_table": "orchestrator_bundle_artifacts", "default_permissions": ()},
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="bundledartifact",
            index=models.Index(fields=["artifact_id"], name="bundled_artifact_by_id"),
        ),
        migrations.AddIndex(
            model_name="bundledartifact",
            index=models.Index(fields=["sha256"], name="bundled_artifact_by_digest"),
        ),
        migrations.RunSQL(BY_NAME, NOT_BY_NAME),
    ]
