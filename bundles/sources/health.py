"""Whether the services answer, asked all at once; informs people, decides nothing.

A service that is only slow is not down. Down is one that refuses, fails, or is silent for as long as a job would wait
(ORCH_SOURCE_TIMEOUT_SECONDS). A page does not wait that long: what has not answered it by then is slow.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from django.conf import settings

from bundles.sources.client import Dropped, Silent, SourceClient
from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE, Source
from bundles.sources.limits import SourceLimits
from foundation import in_background

PAGE_WAITS_S = 5.0
SLOW_FROM_S = 2.0
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
        slow: it took long to answer, or has not answered yet; in neither case is it down.
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
        """Whether it is configured and known not to answer."""
        return bool(self.url) and not self.ok and not self.slow


def reachability(wait_s: float = PAGE_WAITS_S) -> list[SourceHealth]:
    """Ask the three sources and the core service.

    Args:
        wait_s: how long to wait for each answer, in seconds; a job's patience at most.
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
        Dropped: there is no answer.
    """
    code = 0
    with SourceClient(source, url, wait_s, SourceLimits(connect_s=wait_s, total_factor=1)) as client:
        for path in PATHS:
            client.allow()
            with client.send("GET", path) as response:
                code = response.status_code
            if code < 500:
                break
    return code
