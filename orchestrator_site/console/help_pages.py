"""Help pages of the console: the glossary, and every error code with what to do about it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from orchestrator_site.console import glossary
from orchestrator_site.errors import catalogue

# What static/console.js does with them; the letters after g are those of the links in templates/parts/rail.html.
KEYS = (
    ("/", "Go to the search"),
    ("j", "Next row of a list"),
    ("k", "Row before"),
    ("x", "Mark the row, or remove the mark"),
    ("Enter", "Open the row"),
    ("gh", "Home"),
    ("gi", "Incidents"),
    ("gj", "Jobs"),
    ("gb", "Bundles"),
    ("gr", "Restore"),
    ("gc", "Custody"),
    ("gw", "Workers"),
    ("gk", "Keys"),
    ("gs", "Settings"),
    ("ga", "Account"),
    ("?", "Show these keys"),
)


@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    """The glossary, the states, and the keyboard shortcuts."""
    context = {
        "words": sorted(glossary.WORDS.items()),
        "states": glossary.STATES.items(),
        "keys": [((keys,) if keys == "Enter" else tuple(keys), act) for keys, act in KEYS],
    }
    return render(request, "help/glossary.html", context)


@require_safe
def errors_page(request: HttpRequest) -> HttpResponse:
    """Every error code, each with its own anchor."""
    return render(request, "help/errors.html", {"codes": catalogue.by_code().items()})
