"""Whether the sources answer, looked at by the hosts that fetch from them and kept for Home."""

from __future__ import annotations

from django.conf import settings

from bundles.sources import health
from bundles.sources.health import SourceHealth
from jobs import lookouts


def sweep() -> int:
    """Ask every source and keep what it answered; removes nothing, so 0."""
    keep(health.reachability(settings.ORCH_SOURCE_TIMEOUT_SECONDS))
    return 0


def keep(found: list[SourceHealth]) -> None:
    """Keep what was just found; what nothing depends on, is not configured or has not answered yet is left out."""
    for source in found:
        if not source.informational and (source.ok or source.down):
            lookouts.note(f"source.{source.name}", source.title, ok=source.ok, detail=source.detail)
