"""Downloads of a bundle's page: one file, the signer's public key, and the printable certificate.

The certificate is an unsigned statement of this server about a bundle, and says so. The proof is the signature in the
bundle; the certificate explains how to check it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from bundles import manifest_files, services
from bundles.artifacts import single_files
from bundles.console import offline_check
from bundles.format.model.errors import BundleRejectedError
from bundles.keys import trusted_keys
from custody.models import Event
from custody.pages import last_check
from foundation.principal import of_request

CUSTODY_LINES = 200
EARLIER_CHECKS = 10


@require_safe
def certificate_page(request: HttpRequest, bundle_id: UUID) -> HttpResponse:
    """The certificate of one bundle, laid out for printing."""
    principal = of_request(request)
    bundle = services.get(principal, bundle_id)
    checked = services.verifications(bundle, limit=EARLIER_CHECKS + 1)
    context: dict[str, Any] = {
        "bundle": bundle,
        "verification": checked[0] if checked else None,
        "earlier": checked[1:],
        "key_standing": trusted_keys.standing(bundle.key_id),
        "offline": offline_check.commands_for(
            bundle, manifest_files.paths_of(bundle), request.build_absolute_uri("/").rstrip("/")
        ),
        "now": timezone.now(),
        "here": "bundles",
    }
    if principal.may("custody.view_event"):
        events = list(Event.objects.filter(object_type="bundle", object_id=str(bundle_id))[: CUSTODY_LINES + 1])
        context |= {"events": events[:CUSTODY_LINES], "more_events": len(events) > CUSTODY_LINES, "chain": last_check()}
    return render(request, "bundles/certificate.html", context)


@require_safe
def bundle_file(request: HttpRequest, bundle_id: UUID, place: int) -> HttpResponseBase:
    """Download one file of the bundle; a browser must not display it."""
    try:
        opened = single_files.open_file(of_request(request), bundle_id, place)
    except BundleRejectedError as error:
        context = {"bundle_id": bundle_id, "error": error, "here": "bundles"}
        return render(request, "bundles/file_refused.html", context, status=409)
    response = FileResponse(
        opened.file, as_attachment=True, filename=opened.name, content_type="application/octet-stream"
    )
    response["Content-Length"] = str(opened.size)
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_safe
def bundle_key(request: HttpRequest, bundle_id: UUID) -> HttpResponse:
    """Download the public key that signed the bundle, under the name used in the printed commands."""
    bundle = services.get(of_request(request), bundle_id)
    response = HttpResponse(trusted_keys.public_pem(bundle.key_id), content_type="application/x-pem-file")
    response["Content-Disposition"] = f'attachment; filename="{offline_check.key_file(bundle.key_id)}"'
    return response
