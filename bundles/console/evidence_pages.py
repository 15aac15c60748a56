"""What a bundle's page leads to: one file to download or preview, the signer's public key, the printable certificate.

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
from bundles.artifacts import contents, single_files
from bundles.artifacts.preview import preview_of
from bundles.console import bundle_custody, offline_check
from bundles.format.model.errors import BundleRejectedError
from bundles.keys import trusted_keys
from custody.pages import last_check
from foundation.principal import of_request

EARLIER_CHECKS = 10


@require_safe
def certificate_page(request: HttpRequest, bundle_id: UUID) -> HttpResponse:
    """The certificate of one bundle, laid out for printing."""
    principal = of_request(request)
    bundle = services.get(principal, bundle_id)
    checked = services.verifications(bundle, limit=EARLIER_CHECKS + 1)
    offered = contents.offers(bundle)
    context: dict[str, Any] = {
        "bundle": bundle,
        "verification": checked[0] if checked else None,
        "earlier": checked[1:],
        "key_standing": trusted_keys.standing(bundle.key_id),
        "offline": offline_check.commands_for(
            bundle, manifest_files.paths_of(bundle), request.build_absolute_uri("/").rstrip("/")
        ),
        "inside": contents.inside(bundle, offered["host"].total),
        "missing_words": contents.missing_words(bundle.missing),
        "counts": contents.counts_of(bundle),
        "severities": contents.severities_of(bundle),
        "offered": offered,
        "now": timezone.now(),
        "paper": True,
        "here": "bundles",
    }
    if principal.may("custody.view_event"):
        context |= {"custody": bundle_custody.from_the_request_on(bundle, checked), "chain": last_check()}
    return render(request, "bundles/certificate.html", context)


@require_safe
def bundle_file(request: HttpRequest, bundle_id: UUID, place: int) -> HttpResponseBase:
    """Download one file of the bundle; a browser must not display it."""
    try:
        opened = single_files.open_file(of_request(request), bundle_id, place)
    except BundleRejectedError as error:
        return _refused(request, bundle_id, error)
    response = FileResponse(
        opened.file, as_attachment=True, filename=opened.name, content_type="application/octet-stream"
    )
    response["Content-Length"] = str(opened.size)
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_safe
def preview_page(request: HttpRequest, bundle_id: UUID, place: int) -> HttpResponse:
    """Show the beginning of one file as text, a table or a hex dump; never as a page of its own."""
    try:
        opened = single_files.open_file(of_request(request), bundle_id, place, use="preview")
    except BundleRejectedError as error:
        return _refused(request, bundle_id, error)
    with opened.file as file:
        shown = preview_of(file, opened.size, opened.name)
    context = {
        "bundle": opened.bundle,
        "place": place,
        "opened": opened,
        "name": contents.name_of(bundle_id, place) or opened.path,
        "preview": shown,
        "here": "bundles",
    }
    return render(request, "bundles/preview.html", context)


@require_safe
def bundle_key(request: HttpRequest, bundle_id: UUID) -> HttpResponse:
    """Download the public key that signed the bundle, under the name used in the printed commands."""
    bundle = services.get(of_request(request), bundle_id)
    response = HttpResponse(trusted_keys.public_pem(bundle.key_id), content_type="application/x-pem-file")
    response["Content-Disposition"] = f'attachment; filename="{offline_check.key_file(bundle.key_id)}"'
    return response


def _refused(request: HttpRequest, bundle_id: UUID, error: BundleRejectedError) -> HttpResponse:
    context = {"bundle_id": bundle_id, "error": error, "here": "bundles"}
    return render(request, "bundles/file_refused.html", context, status=409)
