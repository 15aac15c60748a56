"""The page of keys: the signing key, the trusted and revoked keys, and how many bundles each has signed."""

from __future__ import annotations

import re

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bundles.format.model.errors import FormatError
from bundles.keys import signing_keys, trusted_keys
from foundation.principal import of_request

PEM_TYPE = "application/x-pem-file"


@require_safe
def keys_page(request: HttpRequest) -> HttpResponse:
    """List every known key, the signing key first."""
    overview = signing_keys.overview(of_request(request))
    return render(request, "bundles/keys.html", {"overview": overview, "more_than": signing_keys.COUNTED_UP_TO})


@require_safe
def public_key(request: HttpRequest, key_id: str) -> HttpResponse:
    """Download a public key as a PEM file, for verifiers elsewhere."""
    of_request(request).require("bundles.view_bundle")
    try:
        key = trusted_keys.trusted().find(key_id)
    except FormatError as error:
        raise Http404 from error
    if key is None:
        raise Http404
    name = re.sub(r"[^A-Za-z0-9._-]", "_", key.name)[:100]
    return HttpResponse(
        key.pem(),
        content_type=PEM_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{name}_{key.key_id[:8]}.pem"'},
    )
