"""The search box: an id or a digest leads straight to what it names; what may mean several things lists them by kind.

Every kind is asked through an index and for a few rows only, so that a search costs the same in a full database.
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
SIGNS = re.compile(r"[\s:-]")  # what stands between the digits of a digest or an id as people copy it


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """Go to the one thing that was meant, or list what may have been."""
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
    goal = _goal(text, digits, found)
    if goal is not None:
        return goal
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
    """A digest or an id as its hex digits alone, however it was copied; empty when it is none."""
    digits = SIGNS.sub("", text.lower().removeprefix("sha256:"))
    return digits if DIGEST_PREFIX.fullmatch(digits) else ""


def matched(bundle: Bundle, text: str, digits: str) -> str:
    """What of a bundle was found, in words."""
    if digits and bundle.sha256.startswith(digits):
        return "file digest"
    if digits and bundle.content_digest.startswith(digits):
        return "content digest"
    return "name" if bundle.name.startswith(text) else "id"


def _goal(text: str, digits: str, found: dict[str, list[Any]]) -> HttpResponse | None:
    """Where to go: to the only thing that is named in full, or else to the only thing there is."""
    everything = [one for rows in found.values() for one in rows]
    exact = [one for one in everything if _is_exactly(one, text, digits)]
    if len(exact) == 1:
        return _page_of(exact[0])
    return _page_of(everything[0]) if len(everything) == 1 else None


def _is_exactly(thing: Any, text: str, digits: str) -> bool:
    if isinstance(thing, str):
        return thing == text
    if isinstance(thing, Job):
        return thing.job_id.hex == digits
    if isinstance(thing, Bundle):
        return text == thing.name or digits in {thing.bundle_id.hex, thing.sha256, thing.content_digest}
    return bool(text == thing.artifact_id or digits == thing.sha256 != "")


def _page_of(thing: Any) -> HttpResponse | None:
    """The page of one thing; an artifact is shown as found, since no page would say why it is there."""
    if isinstance(thing, str):
        return redirect("incident-page", incident_id=thing)
    if isinstance(thing, Job):
        return redirect("job-page", job_id=thing.job_id)
    return redirect("bundle-page", bundle_id=thing.bundle_id) if isinstance(thing, Bundle) else None
