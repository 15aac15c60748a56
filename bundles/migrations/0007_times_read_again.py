"""Timelines that were kept by the earlier rules of reading times are dropped, to be read again by the present ones.

They are derived from the evidence. A bundle's is kept again when it is verified, a restored one by the next restore of
its bundle; until then the incident's page says that it was not read yet, and which step reads it.
"""

from django.db import migrations, models

FORGET = """
DELETE FROM orchestrator_timeline_points;
DELETE FROM orchestrator_timelines;
UPDATE orchestrator_bundles SET counts = NULL WHERE counts IS NOT NULL;
"""


class Migration(migrations.Migration):
    dependencies = [("bundles", "0006_stores")]

    operations = [
        migrations.AddField(
            model_name="kepttimeline",
            name="main_first_us",
            field=models.BigIntegerField(help_text="earliest time but for a few events far away", null=True),
        ),
        migrations.AddField(
            model_name="kepttimeline",
            name="main_last_us",
            field=models.BigIntegerField(help_text="latest time but for a few events far away", null=True),
        ),
        migrations.RunSQL(FORGET, migrations.RunSQL.noop),
    ]
