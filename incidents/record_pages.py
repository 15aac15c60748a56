"""One record of an incident with everything it says, and the incident's techniques as a file."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from foundation.principal import of_request
from incidents import attack, record_rows, services


@require_safe
def record_page(request: HttpRequest, incident_id: str, kind: str, position: int) -> HttpResponse:
    """Show one record in full, with links to the records around it and to those that share a name with it."""
    view, record = services.record(of_request(request), incident_id, kind, position, request.GET.get("origin", ""))
    context = {"incident": view, "row": record_rows.detail_of(record, view), "here": "incidents"}
    in_drawer = request.headers.get("HX-Request") == "true"
    return render(request, "incidents/record_body.html" if in_drawer else "incidents/record.html", context)


@require_safe
def attack_layer(request: HttpRequest, incident_id: str) -> HttpResponse:
    """The incident's techniques as a layer for the ATT&CK Navigator, as a file to save."""
    view = services.view(of_request(request), incident_id, request.GET.get("origin", ""))
    response = JsonResponse(attack.layer(view), json_dumps_params={"indent": 1})
    response["Content-Disposition"] = f'attachment; filename="{incident_id}-attack-layer.json"'
    return response
