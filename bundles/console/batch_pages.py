"""The pages for verifying many bundles: GET previews and changes nothing, POST starts and shows the outcome."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from bundles import batch, services
from bundles.console.pages import filters
from foundation.principal import of_request
from jobs.console.batch_pages import ALL_THAT_MATCH


@require_http_methods(["GET", "HEAD", "POST"])
def batch_page(request: HttpRequest) -> HttpResponse:
    """Preview verifying the selected bundles, or all that match; POST verifies those that were listed."""
    principal = of_request(request)
    if request.method == "POST":
        outcome = batch.carry_out(principal, request.POST.getlist("bundle"))
        context = {"outcome": outcome, "done": outcome.started, "here": "bundles"}
        return render(request, "bundles/batch_outcome.html", context)
    wanted = filters(request)
    if request.GET.get("scope") == ALL_THAT_MATCH:
        found = services.page(principal, **wanted, limit=batch.MOST_AT_ONCE)
        ids, cut = [bundle.bundle_id for bundle in found.items], bool(found.next)
    else:
        ids = batch.ids_of(request.GET.getlist("bundle"))
        cut = len(ids) > batch.MOST_AT_ONCE
    query = urlencode({name: value for name, value in wanted.items() if value})
    plan = batch.plan(principal, ids, cut=cut)
    context = {
        "plan": plan,
        "things": "bundles",
        "touched": plan.touched,
        "left_alone": plan.left_alone,
        "rows_template": "bundles/batch_rows.html",
        "touched_caption": "Will be verified, newest first",
        "most": batch.MOST_AT_ONCE,
        "back": reverse("bundles-page") + (f"?{query}" if query else ""),
        "here": "bundles",
    }
    return render(request, "bundles/batch.html", context)
