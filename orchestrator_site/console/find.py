"""The search page: a text that names one thing opens its page; other matches are listed, the evidence by incident."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from bundles import services as bundle_services
from bundles.artifacts.search_sql import NAME_FROM
from bundles.format.model.paths import valid_incident_id
from bundles.models import Bundle
from foundation.principal import of_request
from incidents.record_rows import shown
from incidents.search import search
from incidents.search.marking import excerpt_of, pattern_of
from incidents.search.question import Question, question_of
from incidents.search.records import FoundRecord
from incidents.timeline.filters import EVERYTHING, html_time_of, moment_at
from jobs.console import progress_view
from jobs.models import Job

MOST_UNREAD = 1_000  # are counted


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """Redirect to the only match, or list all matches."""
    principal = of_request(request)
    question = question_of(request.GET.get("q", ""))
    found = search.Found(question=question, named=search.named(principal, question))
    exact = [match for match in found.named.all if _is_exactly(match, question)]
    if len(exact) == 1:
        return _page_of(exact[0])
    found = search.in_evidence(principal, found)
    if len(found.named.all) == 1 and not found.groups and not found.others:
        return _page_of(found.named.all[0])
    context = {**_context(found), "unread": bundle_services.unread(principal, most=MOST_UNREAD), "most": MOST_UNREAD}
    return render(request, "find.html", context)


def _context(found: search.Found) -> dict[str, Any]:
    text = found.question.text
    pattern = pattern_of(text)
    return {
        "q": text,
        "found": found,
        "named": found.named,
        "shown": search.SHOWN,
        "name_from": NAME_FROM,
        "could_be_an_incident": valid_incident_id(text),
        "jobs": [{"job": job, "title": progress_view.title_of(job.job_type)} for job in found.named.jobs],
        "bundles": [(bundle, matched(bundle, found.question)) for bundle in found.named.bundles],
        "groups": [_group(group, text, pattern) for group in found.groups],
        "pattern": pattern,
    }


def _group(group: search.Group, text: str, pattern: re.Pattern[str]) -> dict[str, Any]:
    query = urlencode(
        {name: value for name, value in (("kind", EVERYTHING), ("text", text), ("origin", group.origin)) if value}
    )
    return {
        "group": group,
        "counts": [
            (count, kind)
            for count, kind in ((group.events, "event"), (group.alerts, "alert"), (group.artifacts, "artifact"))
            if count.number
        ],
        "href": f"{reverse('incident-page', args=[group.incident_id])}?{query}",
        "records": [_row(record, group, pattern) for record in group.records],
    }


def _row(record: FoundRecord, group: search.Group, pattern: re.Pattern[str]) -> dict[str, Any]:
    iso = html_time_of(record.at_us)
    page = reverse("incident-record", args=[group.incident_id, record.kind, record.position])
    return {
        "record": record,
        "iso": iso,
        "at": shown(moment_at(record.at_us)) if iso else "",
        "href": f"{page}?{urlencode({'origin': group.origin})}",
        "excerpt": excerpt_of(record.record, pattern),
    }


def matched(bundle: Bundle, question: Question) -> str:
    """Which attribute of a bundle matched, in words."""
    digits = question.hex_digits
    if digits and bundle.sha256.startswith(digits):
        return "file digest"
    if digits and bundle.content_digest.startswith(digits):
        return "content digest"
    return "name" if bundle.name.startswith(question.text) else "id"


def _is_exactly(match: str | Job | Bundle, question: Question) -> bool:
    text, digits = question.text, question.hex_digits
    if isinstance(match, str):
        return match == text
    if isinstance(match, Job):
        return match.job_id.hex == digits
    return text == match.name or digits in {match.bundle_id.hex, match.sha256, match.content_digest}


def _page_of(match: str | Job | Bundle) -> HttpResponse:
    """Redirect to the page of an incident, job or bundle."""
    if isinstance(match, str):
        return redirect("incident-page", incident_id=match)
    if isinstance(match, Job):
        return redirect("job-page", job_id=match.job_id)
    return redirect("bundle-page", bundle_id=match.bundle_id)
