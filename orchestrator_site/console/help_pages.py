"""Help pages of the console: the glossary, and every error code with what to do about it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from orchestrator_site.console import glossary
from orchestrator_site.errors import catalogue


@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    """The glossary and the states."""
    words = sorted(glossary.WORDS.items())
    return render(request, "help/glossary.html", {"words": words, "states": glossary.STATES.items()})


@require_safe
def errors_page(request: HttpRequest) -> HttpResponse:
    """Every error code, each with its own anchor."""
    return render(request, "help/errors.html", {"codes": catalogue.by_code().items()})
