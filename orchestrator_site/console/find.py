"""The search box: a single match opens its page; several matches are listed by kind.

Every query uses an index and reads a few rows, so that a search costs the same in a full database.
"""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from bundles.artifacts.search import artifacts_in_bundles
from bundles.console import finding as bundles
from bundles.format.model.paths import valid_incident_id
from bundles.models import Bundle
from foundation.hex_prefix import DIGEST_PREFIX
from foundation.principal import of_request
from incidents import finding as incidents
from jobs.console import finding as jobs
from jobs.console import progress_view
from jobs.models import Job

MAX_LENGTH = 200
SHOWN = 10  # of each kind
SEPARATORS = re.compile(r"[\s:-]")  # between the digits of a copied digest or id


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """Redirect to the only match, or list all matches."""
    principal = of_request(request)
    text = request.GET.get("q", "").strip().replace("\x00", "")[:MAX_LENGTH]
    digits = hex_digits(text)
    ask: dict[str, Any] = {"limit": SHOWN + 1}
    found: dict[str, list[Any]] = {
        "incidents": incidents.incidents_by_id(principal, text, **ask) if text else [],
        "jobs": jobs.jobs_by_id(principal, digits, **ask),
        "bundles": bundles.bundles_by(principal, text, hex_digits=digits, **ask),
        "bundled": artifacts_in_bundles(principal, text, hex_digits=digits, **ask) if text else [],
        "artifacts": incidents.artifacts_by(principal, text, hex_digits=digits, **ask) if text else [],
    }
    redirection = _redirection(text, digits, found)
    if redirection is not None:
        return redirection
    context = {
        "q": text,
        "groups": {kind: rows[:SHOWN] for kind, rows in found.items()},
        "more": {kind: len(rows) > SHOWN for kind, rows in found.items()},
        "nothing": not any(found.values()),
        "shown": SHOWN,
        "could_be_an_incident": valid_incident_id(text),
        "jobs": [{"job": job, "title": progress_view.title_of(job.job_type)} for job in found["jobs"][:SHOWN]],
        "bundles": [(bundle, matched(bundle, text, digits)) for bundle in found["bundles"][:SHOWN]],
    }
    return render(request, "find.html", context)


def hex_digits(text: str) -> str:
    """The hex digits of a copied digest or id, without separators; empty if it is neither."""
    digits = SEPARATORS.sub("", text.lower().removeprefix("sha256:"))
    return digits if DIGEST_PREFIX.fullmatch(digits) else ""


def matched(bundle: Bundle, text: str, digits: str) -> str:
    """Which attribute of a bundle matched, in words."""
    if digits and bundle.sha256.startswith(digits):
        return "file digest"
    if digits and bundle.content_digest.startswith(digits):
        return "content digest"
    return "name" if bundle.name.startswith(text) else "id"


def _redirection(text: str, digits: str, found: dict[str, list[Any]]) -> HttpResponse | None:
    """The page of the only exact match, or else of the only match; None if there are several or none."""
    matches = [match for rows in found.values() for match in rows]
    exact = [match for match in matches if _is_exactly(match, text, digits)]
    if len(exact) == 1:
        return _page_of(exact[0])
    return _page_of(matches[0]) if len(matches) == 1 else None


def _is_exactly(match: Any, text: str, digits: str) -> bool:
    if isinstance(match, str):
        return match == text
    if isinstance(match, Job):
        return match.job_id.hex == digits
    if isinstance(match, Bundle):
        return text == match.name or digits in {match.bundle_id.hex, match.sha256, match.content_digest}
    return bool(text == match.artifact_id or digits == match.sha256 != "")


def _page_of(match: Any) -> HttpResponse | None:
    """Redirect to the page of an incident, job or bundle; None for an artifact, which has no page."""
    if isinstance(match, str):
        return redirect("incident-page", incident_id=match)
    if isinstance(match, Job):
        return redirect("job-page", job_id=match.job_id)
    return redirect("bundle-page", bundle_id=match.bundle_id) if isinstance(match, Bundle) else None
