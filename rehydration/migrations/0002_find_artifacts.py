"""Indexes for the search: an artifact by its id, its SHA-256, the beginning of its name or of the name's last part.

Names are cut, as an index entry must fit a third of a page; `incidents.finding` has the same expressions.
"""

from django.db import migrations

FORWARD = r"""
CREATE INDEX artifact_by_id ON orchestrator_artifact_records (artifact_id);
CREATE INDEX artifact_by_digest ON orchestrator_artifact_records (sha256);
CREATE INDEX artifact_by_name ON orchestrator_artifact_records (lower(left(name, 200)) text_pattern_ops);
CREATE INDEX artifact_by_last_part ON orchestrator_artifact_records
    (lower(left(regexp_replace(name, '^.*[/\\]', ''), 200)) text_pattern_ops);
"""


class Migration(migrations.Migration):
    dependencies = [("rehydration", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD)]
