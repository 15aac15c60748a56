"""The page that compares the files of two bundles of one incident."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from bundles import manifest_files, services
from bundles.errors import BundleNotFoundError
from bundles.manifest_files import DIFFERS, EQUAL, ONLY_A, ONLY_B, Comparison
from bundles.models import Bundle
from foundation.principal import Principal, of_request

OFFERED = 100
PAIRS_A_PAGE = 50
KINDS = (
    (DIFFERS, "Differs"),
    (ONLY_A, "Only in A"),
    (ONLY_B, "Only in B"),
    (EQUAL, "Equal"),
)


@require_safe
def compare_page(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Choose two bundles of an incident, and see how they compare."""
    principal = of_request(request)
    offered = services.page(principal, incident_id=incident_id, limit=OFFERED)
    if not offered.items:
        raise BundleNotFoundError("There is no bundle of this incident.")
    chosen = [_chosen(principal, incident_id, request.GET.get(name, ""), offered.items) for name in ("a", "b")]
    if not any(chosen) and len(offered.items) > 1:
        chosen = [offered.items[1], offered.items[0]]
    context: dict[str, Any] = {
        "incident_id": incident_id,
        "a": chosen[0],
        "b": chosen[1],
        "offered": offered.items + [one for one in chosen if one is not None and one not in offered.items],
        "more": bool(offered.next),
        "here": "incidents",
    }
    if chosen[0] is not None and chosen[1] is not None:
        context |= _compared(chosen[0], chosen[1], request.GET.get("show", ""), request.GET.get("from", ""))
    return render(request, "bundles/compare.html", context)


def _chosen(principal: Principal, incident_id: str, bundle_id: str, offered: list[Bundle]) -> Bundle | None:
    """The requested bundle, which must be of this incident; None if none was requested."""
    if not bundle_id:
        return None
    found = next((bundle for bundle in offered if str(bundle.bundle_id) == bundle_id), None)
    found = found or services.get(principal, bundle_id)
    if found.incident_id != incident_id:
        raise BundleNotFoundError("There is no such bundle of this incident.")
    return found


def _compared(a: Bundle, b: Bundle, show: str, first: str) -> dict[str, Any]:
    compared = _comparison(a.bundle_id, b.bundle_id)
    if compared is None:
        return {"unknown": True}
    kinds = [{"kind": kind, "name": name, "count": len(compared.of(kind))} for kind, name in KINDS]
    if show not in {kind for kind, _ in KINDS}:
        show = next((kind for kind, _ in KINDS if compared.of(kind)), EQUAL)
    pairs = compared.of(show)
    offset = int(first) if first.isascii() and first.isdigit() and len(first) < 10 else 0
    listed = pairs[offset : offset + PAIRS_A_PAGE]
    return {
        "compared": compared,
        "same": a.content_digest == b.content_digest,
        "contradiction": (a.content_digest == b.content_digest) != compared.same,
        "summary": _summary(compared),
        "kinds": kinds,
        "show": show,
        "show_name": dict(KINDS)[show],
        "pairs": listed,
        "total": len(pairs),
        "shown_from": offset + 1,
        "shown_to": offset + len(listed),
        "earlier_from": max(0, offset - PAIRS_A_PAGE) if offset else None,
        "later_from": offset + PAIRS_A_PAGE if offset + PAIRS_A_PAGE < len(pairs) else None,
    }


def _summary(compared: Comparison) -> str:
    differs, equal = len(compared.differs), len(compared.equal)
    parts = [f"{differs:,} file{' differs' if differs == 1 else 's differ'}"]
    parts += [f"{len(pairs):,} only in {name}" for name, pairs in (("A", compared.only_a), ("B", compared.only_b))]
    return f"{', '.join(parts)}; {equal:,} {'is' if equal == 1 else 'are'} equal. Content digests are not equal."


def _comparison(a: UUID, b: UUID) -> Comparison | None:
    """The comparison; None if the manifest of one bundle is not stored."""
    try:
        return manifest_files.compare(a, b)
    except BundleNotFoundError:
        return None
