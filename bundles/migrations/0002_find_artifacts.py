"""What the search needs: trigrams of the names of artifacts, and the hashes and addresses of each incident's records.

Only core PostgreSQL is used; docs/adr/0012-search-without-extensions.md gives the reason.
"""

import django.db.models.deletion
from django.db import migrations, models

# GIN stores each of repeated values once. A loop in PL/pgSQL takes a fifth of the time of a query in SQL.
FORWARD = """
CREATE FUNCTION orchestrator_trigrams(whole text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    lowered text := lower(whole);
    found text[] := '{}';
BEGIN
    FOR place IN 1 .. length(lowered) - 2 LOOP
        found := found || substr(lowered, place, 3);
    END LOOP;
    RETURN found;
END
$$;
CREATE INDEX bundled_artifact_trigrams ON orchestrator_bundle_artifacts USING gin (orchestrator_trigrams(name));
"""


class Migration(migrations.Migration):
    dependencies = [("bundles", "0001_initial")]
    operations = [
        migrations.AddIndex(
            model_name="bundle",
            index=models.Index(fields=["-created_at"], condition=models.Q(counts__isnull=True), name="bundle_unread"),
        ),
        migrations.RunSQL(FORWARD),
        migrations.CreateModel(
            name="Observable",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "value", "timeline_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("value", models.TextField(help_text="as bundles.timelines.observables reads it")),
                (
                    "timeline",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="observables",
                        to="bundles.kepttimeline",
                    ),
                ),
            ],
            options={
                "db_table": "orchestrator_observables",
                "default_permissions": (),
            },
        ),
    ]
