"""The part of the list of incidents that shows what the sources list, which the page loads after itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bundles.format.model.paths import valid_incident_id
from foundation.principal import of_request
from incidents import from_sources
from incidents.from_sources import FromSystem, ListedIncident


@require_safe
def listed_page(request: HttpRequest) -> HttpResponse:
    """What the sources list; waits for them at most `listing.WAITS_S`."""
    found = from_sources.found(of_request(request))
    systems = [{"listing": one.listing, "rows": [_row(one, row) for row in one.incidents]} for one in found]
    template = "from_sources.html" if request.headers.get("HX-Request") else "from_sources_page.html"
    return render(request, f"incidents/{template}", {"systems": systems, "here": "incidents"})


def _row(one: FromSystem, row: ListedIncident) -> dict[str, Any]:
    """One row, with the address of the form that bundles it."""
    ref, profile = row.listed.ref, one.listing.profiles[0] if one.listing.profiles else ""
    asked = {"incident_id": ref} if valid_incident_id(ref) else {}
    query = urlencode({**asked, "profile": profile, f"ref-{one.listing.system}": ref})
    return {"listed": row.listed, "incident_id": row.incident_id, "query": query}
