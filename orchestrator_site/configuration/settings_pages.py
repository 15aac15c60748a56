"""The settings health page, also as plain text for a ticket."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bundles.sources.health import reachability
from foundation.principal import of_request
from orchestrator_site.configuration import settings_health

VIEW = "orchestrator_site.view_settings"
MAX_SEARCH_CHARS = 100


@require_safe
def settings_page(request: HttpRequest) -> HttpResponse:
    """Settings, checks and versions; the state of the sources is loaded by a part of the page."""
    of_request(request).require(VIEW)
    health = settings_health.collect()
    search = request.GET.get("find", "").strip()[:MAX_SEARCH_CHARS]
    context = {
        "health": health,
        "topics": settings_health.by_topic(health.settings, search),
        "find": search,
        "differing": sum(one.differs for one in health.settings),
        "errors": sum(one.worst == "error" for one in health.checks),
        "warnings": sum(one.worst == "warning" for one in health.checks),
        "text": settings_health.as_text(health),
    }
    return render(request, "settings.html", context)


@require_safe
def settings_text(request: HttpRequest) -> HttpResponse:
    """The report with the state of the sources, as plain text; takes seconds when a source is down."""
    of_request(request).require(VIEW)
    text = settings_health.as_text(settings_health.collect(), reachability())
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
