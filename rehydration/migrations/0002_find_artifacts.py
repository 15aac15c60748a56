"""Indexes for the search: an artifact by its id, its SHA-256, or any part of its name."""

from django.db import migrations

FORWARD = """
CREATE INDEX artifact_by_id ON orchestrator_artifact_records (artifact_id);
CREATE INDEX artifact_by_digest ON orchestrator_artifact_records (sha256);
CREATE INDEX artifact_trigrams ON orchestrator_artifact_records USING gin (orchestrator_trigrams(name));
"""


class Migration(migrations.Migration):
    dependencies = [("rehydration", "0001_initial"), ("bundles", "0002_find_artifacts")]
    operations = [migrations.RunSQL(FORWARD)]
