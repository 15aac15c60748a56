"""Whether the services answer, asked all at once and briefly; informs people, decides nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.conf import settings

from bundles.sources.client import Dropped, SourceClient
from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE, Source
from bundles.sources.limits import SourceLimits

TIMEOUT_S = 2.0
LIMITS = SourceLimits(connect_s=1.0, total_factor=1)
CORE = Source("core", "Core service")
PATHS = ("/health", "/")


@dataclass(frozen=True)
class SourceHealth:
    """One service's answer.

    Attributes:
        name: `timeline`, `alerts`, `artifacts` or `core`.
        title: for people.
        url: its base URL; empty when it is not configured.
        ok: it answered with less than HTTP 500, whatever it was.
        detail: one sentence.
        informational: nothing depends on it.
    """

    name: str
    title: str
    url: str
    ok: bool
    detail: str
    informational: bool


def reachability() -> list[SourceHealth]:
    """Ask the three sources and the core service; takes a few seconds at most."""
    asked = [
        (TIMELINE, settings.KILLCHAIN_API_URL),
        (ALERTS, settings.DB_API_URL),
        (ARTIFACTS, settings.FORENSIC_API_URL),
        (CORE, settings.CORE_API_URL),
    ]
    with ThreadPoolExecutor(max_workers=len(asked), thread_name_prefix="reachability") as pool:
        return list(pool.map(lambda one: _ask(*one), asked))


def _ask(source: Source, url: str) -> SourceHealth:
    if not url:
        return SourceHealth(source.key, source.title, "", ok=False, detail="Not configured.", informational=True)
    detail = ""
    ok = False
    with SourceClient(source, url, TIMEOUT_S, LIMITS) as client:
        for path in PATHS:
            client.allow()
            try:
                with client.send("GET", path) as response:
                    ok = response.status_code < 500
                    detail = f"Answers (HTTP {response.status_code})." if ok else f"HTTP {response.status_code}."
            except Dropped as drop:
                detail = f"Not reachable: {drop}"
                break
            if ok:
                break
    return SourceHealth(source.key, source.title, url, ok=ok, detail=detail, informational=source is CORE)
