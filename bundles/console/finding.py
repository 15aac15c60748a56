"""Finds bundles by the beginning of their id, a digest or their file name, each through an index."""

from __future__ import annotations

from django.db.models import Q

from bundles.models import Bundle
from foundation.hex_prefix import digest_range, uuid_range
from foundation.principal import Principal

NAME_FROM = 6  # characters: fewer would find every bundle


def bundles_by(principal: Principal, text: str, *, hex_digits: str, limit: int) -> list[Bundle]:
    """The bundles that match a search text, newest first.

    Args:
        principal: without `bundles.view_bundle` nothing is found.
        text: the search text; compared with the beginning of file names.
        hex_digits: the search text as lower-case hex digits; empty if it is not hex.
        limit: the largest number of results.
    """
    if not principal.may("bundles.view_bundle"):
        return []
    wanted = Q(name__startswith=text) if len(text) >= NAME_FROM else Q()
    bounds = digest_range(hex_digits)
    if bounds:
        wanted |= Q(sha256__range=bounds) | Q(content_digest__range=bounds)
    ids = uuid_range(hex_digits)
    if ids:
        wanted |= Q(bundle_id__range=ids)
    return list(Bundle.objects.filter(wanted).order_by("-created_at")[:limit]) if wanted else []
