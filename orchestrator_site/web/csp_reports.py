"""`POST /csp-report`: browsers tell here what a page's Content-Security-Policy kept them from doing.

Nobody is asked who they are, so a report is worth little: it is bounded, counted by directive, and at most one log line
every `LOGGED_EVERY_S` tells of one. Whatever comes, the answer is 204, and nothing is stored.
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


class Voice:
    """Says one line in `LOGGED_EVERY_S`, with how many it kept back before."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last_s = float("-inf")
        self._kept_back = 0

    def say(self, directive: str, blocked: str, page: str) -> None:
        """Log one violation, or count it among those not told."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._last_s < LOGGED_EVERY_S:
                self._kept_back += 1
                return
            kept_back, self._kept_back, self._last_s = self._kept_back, 0, now_s
        log.warning("CSP violation: %s, %s on %s (%d more not told)", directive, blocked, page, kept_back)


VOICE = Voice()


@csrf_exempt  # browsers send reports by themselves, without a token; nothing is changed by one
@require_POST
def csp_report(request: HttpRequest) -> HttpResponse:
    """Count what the body tells; 204 whatever it was."""
    try:
        body = request.read(MAX_BODY_BYTES + 1)
    except OSError:
        body = b""  # it broke off
    if len(body) <= MAX_BODY_BYTES:
        for told in _reports(body):
            directive = _directive(told)
            VIOLATIONS.labels(directive).inc()
            VOICE.say(directive, _where(told, "blocked-uri", "blockedURL"), _where(told, "document-uri", "documentURL"))
    return HttpResponse(status=204)


def _reports(body: bytes) -> Iterator[dict[str, Any]]:
    """The violations in a body: of report-uri (one object) or of the Reporting API (a list)."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return
    for one in (told if isinstance(told, list) else [told])[:MAX_REPORTS]:
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
