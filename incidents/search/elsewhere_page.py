"""The page of the hashes and addresses of an incident that other incidents have too."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bundles.timelines.observables import MOST
from foundation.principal import of_request
from incidents.search import elsewhere


@require_safe
def elsewhere_page(request: HttpRequest, incident_id: str) -> HttpResponse:
    """List them, those in most incidents first."""
    context = {
        "incident_id": incident_id,
        "elsewhere": elsewhere.seen_elsewhere(of_request(request), incident_id),
        "most_values": elsewhere.MOST_VALUES,
        "most_of_incident": MOST,
        "here": "incidents",
    }
    return render(request, "incidents/elsewhere.html", context)
