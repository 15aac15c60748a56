"""Indexes for the search for artifacts in bundles by the beginning of their name.

Names in a bundle are the last parts of paths, except that a backslash stands in them as `%5C`: the first index holds
what follows the last one, the second the whole name where there is one.
"""

from django.db import migrations

FORWARD = """
CREATE INDEX bundled_artifact_by_name ON orchestrator_bundle_artifacts
    (lower(regexp_replace(name, '^.*%5C', '')) text_pattern_ops);
CREATE INDEX bundled_artifact_by_path ON orchestrator_bundle_artifacts (lower(name) text_pattern_ops)
    WHERE strpos(name, '%5C') > 0;
"""


class Migration(migrations.Migration):
    dependencies = [("bundles", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD)]
