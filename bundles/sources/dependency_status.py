"""Whether the sources answer, as last seen, and since when; kept for Home.

The workers' upkeep asks while it sweeps, and a page keeps what it found when somebody asked. Pages read one small table
and never wait for a service that hangs. What nobody has asked for a while counts as not known.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from bundles.models import DependencyStatus
from bundles.sources import health
from bundles.sources.health import SourceHealth

KNOWN_FOR = timedelta(minutes=20)  # four sweeps

NOTE_SQL = """
INSERT INTO orchestrator_lookouts AS known (name, title, ok, detail, seen_at, since)
VALUES (%(name)s, %(title)s, %(ok)s, %(detail)s, now(), now())
ON CONFLICT (name) DO UPDATE SET title = excluded.title, ok = excluded.ok, detail = excluded.detail, seen_at = now(),
    since = CASE WHEN known.ok = excluded.ok THEN known.since ELSE now() END
"""


def sweep() -> int:
    """Ask every source and keep what it answered; removes nothing, so 0."""
    keep(health.reachability(settings.ORCH_SOURCE_TIMEOUT_SECONDS))
    return 0


def keep(found: list[SourceHealth]) -> None:
    """Keep what was just found; what nothing depends on, is not configured or has not answered yet is left out."""
    for source in found:
        if not source.informational and (source.ok or source.down):
            note(f"source.{source.name}", source.title, ok=source.ok, detail=source.detail)


def note(name: str, title: str, *, ok: bool, detail: str) -> None:
    """Keep what was seen just now."""
    with connection.cursor() as cursor:
        cursor.execute(NOTE_SQL, {"name": name, "title": title, "ok": ok, "detail": detail[:500]})


def not_well() -> list[DependencyStatus]:
    """What was not well when last looked at, if that was lately; longest unwell first."""
    return list(DependencyStatus.objects.filter(ok=False, seen_at__gt=Now() - KNOWN_FOR).order_by("since", "name"))
