"""What was last seen of things outside that work depends on, such as a source: well or not, and since when.

Supervisors look while they sweep, a page notes what it found when somebody asked; pages read one small table and never
wait for a service that hangs. What nobody has looked at for a while counts as not known, and is not told.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import connection, models
from django.db.models.functions import Now

KNOWN_FOR = timedelta(minutes=20)  # four sweeps

NOTE_SQL = """
INSERT INTO orchestrator_lookouts AS known (name, title, ok, detail, seen_at, since)
VALUES (%(name)s, %(title)s, %(ok)s, %(detail)s, now(), now())
ON CONFLICT (name) DO UPDATE SET title = excluded.title, ok = excluded.ok, detail = excluded.detail, seen_at = now(),
    since = CASE WHEN known.ok = excluded.ok THEN known.since ELSE now() END
"""


class Lookout(models.Model):
    """One thing that was looked at."""

    name = models.TextField(primary_key=True, help_text="such as source.artifacts")
    title = models.TextField()
    ok = models.BooleanField()
    detail = models.TextField(blank=True, help_text="one sentence")
    seen_at = models.DateTimeField(help_text="when somebody last looked")
    since = models.DateTimeField(help_text="when it was first seen as it is now")

    class Meta:
        """A handful of rows, read by Home."""

        app_label = "jobs"
        db_table = "orchestrator_lookouts"
        default_permissions = ()

    def __str__(self) -> str:
        """What was seen, in one line."""
        return f"{self.name}: {'ok' if self.ok else self.detail}"


def note(name: str, title: str, *, ok: bool, detail: str) -> None:
    """Keep what was seen just now."""
    with connection.cursor() as cursor:
        cursor.execute(NOTE_SQL, {"name": name, "title": title, "ok": ok, "detail": detail[:500]})


def not_well() -> list[Lookout]:
    """What was not well when last looked at, if that was lately; longest unwell first."""
    return list(Lookout.objects.filter(ok=False, seen_at__gt=Now() - KNOWN_FOR).order_by("since", "name"))
