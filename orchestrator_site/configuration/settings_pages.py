"""The page of settings health, and the same as plain text for a ticket."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bundles.sources.health import reachability
from foundation.principal import of_request
from orchestrator_site.configuration import settings_health

VIEW = "orchestrator_site.view_settings"


@require_safe
def settings_page(request: HttpRequest) -> HttpResponse:
    """What is set, what the checks say, which versions run; the sources are asked by a part of the page."""
    of_request(request).require(VIEW)
    health = settings_health.look()
    context = {
        "health": health,
        "errors": sum(one.worst == "error" for one in health.checks),
        "warnings": sum(one.worst == "warning" for one in health.checks),
        "text": settings_health.as_text(health),
    }
    return render(request, "settings.html", context)


@require_safe
def settings_text(request: HttpRequest) -> HttpResponse:
    """All of it with the sources' answers, as plain text; takes seconds when a source is down."""
    of_request(request).require(VIEW)
    text = settings_health.as_text(settings_health.look(), reachability())
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
