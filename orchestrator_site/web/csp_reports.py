"""`POST /csp-report`: receives browsers' reports of Content-Security-Policy violations.

Reports are unauthenticated, so they are bounded, counted by directive, and logged at most once every `LOGGED_EVERY_S`.
The response is always 204, and nothing is stored.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from prometheus_client import Counter

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 16 * 1024
MAX_REPORTS = 20  # of one body: the Reporting API sends several together
LOGGED_EVERY_S = 10
DIRECTIVES = frozenset(
    {
        "default-src", "script-src", "script-src-elem", "script-src-attr", "style-src", "style-src-elem",
        "style-src-attr",
        "img-src", "connect-src", "font-src", "media-src", "object-src", "frame-src", "child-src", "worker-src",
        "manifest-src", "form-action", "base-uri", "frame-ancestors",
    }
)  # fmt: skip
VIOLATIONS = Counter(
    "orch_csp_violations", "Violations of the pages' Content-Security-Policy, as browsers reported them.", ["directive"]
)


class RateLimitedLog:
    """Logs one line per `LOGGED_EVERY_S`, with the number of suppressed ones."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last_s = float("-inf")
        self._suppressed = 0

    def write(self, directive: str, blocked: str, page: str) -> None:
        """Log one violation, or count it as suppressed."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._last_s < LOGGED_EVERY_S:
                self._suppressed += 1
                return
            suppressed, self._suppressed, self._last_s = self._suppressed, 0, now_s
        log.warning("CSP violation: %s, %s on %s (%d more suppressed)", directive, blocked, page, suppressed)


VIOLATION_LOG = RateLimitedLog()


@csrf_exempt  # browsers send reports by themselves, without a token; nothing is changed by one
@require_POST
def csp_report(request: HttpRequest) -> HttpResponse:
    """Count the violations in the body; always 204."""
    try:
        body = request.read(MAX_BODY_BYTES + 1)
    except OSError:
        body = b""  # it broke off
    if len(body) <= MAX_BODY_BYTES:
        for report in _reports(body):
            directive = _directive(report)
            VIOLATIONS.labels(directive).inc()
            VIOLATION_LOG.write(
                directive, _where(report, "blocked-uri", "blockedURL"), _where(report, "document-uri", "documentURL")
            )
    return HttpResponse(status=204)


def _reports(body: bytes) -> Iterator[dict[str, Any]]:
    """The violations in a body: of report-uri (one object) or of the Reporting API (a list)."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return
    for one in (parsed if isinstance(parsed, list) else [parsed])[:MAX_REPORTS]:
        report = one.get("csp-report") or one.get("body") if isinstance(one, dict) else None
        if isinstance(report, dict) and _named(
            report, "effective-directive", "effectiveDirective", "violated-directive"
        ):
            yield report


def _named(report: dict[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := report.get(name), str) and value), "")


def _directive(report: dict[str, Any]) -> str:
    """The directive, one of those we know, so that nobody can make endless counters."""
    words = _named(report, "effective-directive", "effectiveDirective", "violated-directive").split()
    return words[0] if words and words[0] in DIRECTIVES else "other"


def _where(report: dict[str, Any], *names: str) -> str:
    """An address without its query, which may hold what somebody searched for; printable and short."""
    text = _named(report, *names)
    try:
        parts = urlsplit(text)
    except ValueError:
        return "?"
    address = f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else parts.path or parts.scheme
    return "".join(filter(str.isprintable, address))[:200] or "?"
