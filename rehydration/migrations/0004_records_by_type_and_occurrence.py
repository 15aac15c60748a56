"""Ids are not unique and have a JSON type: the key of a record says both; and what a restore left out is kept."""

from django.db import migrations, models

ID_TYPE = "as in rehydration.records.Key"
TABLES = (
    ("alert", "alert_id", "alert_key", "alert"),
    ("artifactrecord", "artifact_id", "artifact_record_key", "record"),
)


class Migration(migrations.Migration):
    dependencies = [("rehydration", "0003_find_artifacts")]

    operations = [
        migrations.AddField("restoredincident", "left_out", models.JSONField(default=dict)),
        migrations.AlterModelOptions("artifactrecord", {"default_permissions": (), "ordering": ("artifact_id", "id")}),
        *(
            operation
            for model, name, key, one in TABLES
            for operation in (
                migrations.AddField(
                    model, "id_type", models.CharField(default="string", help_text=ID_TYPE, max_length=7)
                ),
                migrations.AddField(
                    model,
                    "occurrence",
                    models.IntegerField(default=0, help_text=f"0 for the first {one} with this id, then 1, 2 …"),
                ),
                migrations.RemoveConstraint(model, key),
                migrations.AddConstraint(
                    model,
                    models.UniqueConstraint(fields=("incident_id", name, "id_type", "occurrence"), name=key),
                ),
            )
        ),
    ]
