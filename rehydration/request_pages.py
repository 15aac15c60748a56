"""The pages of requests for a restore: what those who may not restore see, and one request."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from bundles import services as bundle_services
from foundation.principal import Principal, of_request
from rehydration import restore_requests
from rehydration.errors import RestoreRequestError

LISTED = 20


@require_safe
def explain(request: HttpRequest) -> HttpResponse:
    """The restore page for somebody who may not restore: why, and a form to ask an operator."""
    principal = of_request(request)
    bundle_id = request.GET.get("bundle_id", "")
    incident_id = request.GET.get("incident_id", "").strip()
    context: dict[str, Any] = {
        "chosen": bundle_services.get(principal, bundle_id) if bundle_id else None,
        "page": bundle_services.page(principal, incident_id=incident_id, limit=LISTED),
        "incident_id": incident_id,
        "most": restore_requests.MAX_TEXT_CHARS,
        "here": "restore",
    }
    if principal.may(restore_requests.ASK):
        context["mine"] = restore_requests.page(principal, limit=LISTED).items
    return render(request, "restore/explain.html", context)


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Ask an operator to restore the chosen bundle."""
    principal = of_request(request)
    principal.require(restore_requests.ASK)
    if not request.POST.get("bundle_id"):
        messages.error(request, "Choose the bundle that should be restored.")
        return redirect("restore")
    asked = restore_requests.ask(principal, bundle_id=request.POST["bundle_id"], note=request.POST.get("note", ""))
    if asked.created:
        messages.success(request, "An operator sees your request on Home. Its state is below.")
    else:
        messages.info(request, "You have asked for this bundle already. No second request was made.")
    return redirect("restore")


@require_http_methods(["GET", "HEAD", "POST"])
def request_page(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Show one request; POST declines it with a reason."""
    principal = of_request(request)
    fault = ""
    if request.method == "POST":
        principal.require(restore_requests.RESTORE)
        try:
            restore_requests.decline(principal, request_id, reason=request.POST.get("reason", ""))
        except RestoreRequestError as error:
            fault = str(error)
        else:
            messages.success(request, "Declined. The person who asked sees the reason.")
            return redirect("restore-request", request_id=request_id)
    context = {
        "asked": restore_requests.get(principal, request_id),
        "may_decide": principal.may(restore_requests.RESTORE),
        "most": restore_requests.MAX_TEXT_CHARS,
        "fault": fault,
        "here": "restore",
    }
    return render(request, "restore/request.html", context)


def open_requests(principal: Principal, bundle_id: str = "") -> dict[str, Any]:
    """The open requests for the page of those who may restore: all, or those for one bundle."""
    found = restore_requests.page(principal, state=restore_requests.OPEN, bundle_id=bundle_id, limit=LISTED)
    return {"asked": found.items, "more_asked": bool(found.next)}
