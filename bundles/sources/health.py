"""Queries whether the services respond, all in parallel; for information only.

A service is down if it refuses, fails, or does not respond for as long as a job would wait
(ORCH_SOURCE_TIMEOUT_SECONDS). A page waits less; a service that has not responded by then is shown as slow, not down.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from django.conf import settings

from bundles.sources.client import Dropped, Silent, SourceClient
from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE, Source
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import System
from foundation import in_background

PAGE_WAITS_S = 5.0
SLOW_FROM_S = 2.0
CORE = Source("core", "Core service")
PATHS = ("/health", "/")


@dataclass(frozen=True)
class SourceHealth:
    """The state of one service.

    Attributes:
        name: `timeline`, `alerts`, `artifacts` or `core`.
        title: its name in messages.
        url: its base URL; empty if it is not configured.
        ok: it responded with a status below HTTP 500.
        slow: it responded late, or has not responded yet; a slow service is not down.
        detail: one sentence.
        informational: nothing depends on it.
    """

    name: str
    title: str
    url: str
    ok: bool
    detail: str
    informational: bool
    slow: bool = False

    @property
    def down(self) -> bool:
        """Whether it is configured and known not to respond."""
        return bool(self.url) and not self.ok and not self.slow


def reachability(wait_s: float = PAGE_WAITS_S) -> list[SourceHealth]:
    """Query the three sources and the core service.

    Args:
        wait_s: longest wait for each response, in seconds; at most ORCH_SOURCE_TIMEOUT_SECONDS.
    """
    patience_s = float(settings.ORCH_SOURCE_TIMEOUT_SECONDS)
    asked: list[tuple[Source, str]] = [
        (TIMELINE, settings.KILLCHAIN_API_URL),
        (ALERTS, settings.DB_API_URL),
        (ARTIFACTS, settings.FORENSIC_API_URL),
        (CORE, settings.CORE_API_URL),
    ]
    wait_s = min(wait_s, patience_s)
    answers = [in_background.ask(partial(_ask, source, url, wait_s, patience_s)) for source, url in asked]
    return [answer.result() for answer in answers]


def _ask(source: Source, url: str, wait_s: float, patience_s: float) -> SourceHealth:
    informational = source is CORE
    if not url:
        return SourceHealth(source.key, source.title, "", ok=False, detail="Not configured.", informational=True)
    began = time.monotonic()
    ok, slow = False, False
    try:
        code = _status(source, url, wait_s)
        took_s = time.monotonic() - began
        ok = code < 500
        slow = ok and took_s >= SLOW_FROM_S
        after = f" after {took_s:.1f} s" if slow else ""
        detail = f"Answers (HTTP {code}){after}." if ok else f"HTTP {code}."
    except Silent:
        slow = wait_s < patience_s
        more = f" so far; a job waits {patience_s:.0f} s" if slow else ""
        detail = f"{'Slow' if slow else 'Not reachable'}: no answer in {wait_s:.0f} s{more}."
    except Dropped as drop:
        detail = f"Not reachable: {drop}"
    return SourceHealth(source.key, source.title, url, ok, detail, informational, slow)


def _status(source: Source, url: str, wait_s: float) -> int:
    """The HTTP status of the first path that does not fail, or of the last one.

    Raises:
        Dropped: there is no response.
    """
    code = 0
    system = System(name=source.key, adapter="ransomeye", url=url, timeout_s=wait_s)
    with SourceClient(source, system, SourceLimits(connect_s=wait_s, total_factor=1)) as client:
        for path in PATHS:
            client.allow()
            with client.send("GET", path) as response:
                code = response.status_code
            if code < 500:
                break
    return code
