"""Which directory is the bundle store and which the artifact store, by the id that each carries in a marker file."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("bundles", "0005_bundled_artifacts")]
    operations = [
        migrations.CreateModel(
            name="Store",
            fields=[
                ("kind", models.TextField(help_text="bundles or artifacts", primary_key=True, serialize=False)),
                ("store_id", models.UUIDField(help_text="as in its marker file")),
                ("host", models.TextField(help_text="which used it first, or adopted it")),
                ("since", models.DateTimeField()),
            ],
            options={"db_table": "orchestrator_stores", "default_permissions": ()},
        ),
    ]
