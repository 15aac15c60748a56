"""The page of one bundle: its verdict, what to hand over, its contents, how to check it, and its custody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from bundles import manifest_files, services
from bundles.artifacts import contents
from bundles.console import bundle_custody, offline_check
from bundles.format.model import paths
from bundles.intake.delivered import DELIVERED
from bundles.intake.source import NAME as IMPORTED
from bundles.keys import trusted_keys
from bundles.models import Bundle, BundledArtifact
from bundles.timelines import times
from custody.pages import last_check
from foundation.principal import of_request

CONTENTS_A_PAGE = 25
CUSTODY_LINES = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@require_http_methods(["GET", "HEAD", "POST"])
def bundle_page(request: HttpRequest, bundle_id: UUID) -> HttpResponse:
    """Show one bundle; POST requests a verification and redirects to its job."""
    principal = of_request(request)
    if request.method == "POST":
        return redirect("job-page", job_id=services.request_verification(principal, bundle_id).job.job_id)
    bundle = services.get(principal, bundle_id)
    checked = services.verifications(bundle)
    offered = contents.offers(bundle)
    context: dict[str, Any] = {
        "bundle": bundle,
        "verification": checked[0] if checked else None,
        "earlier": checked[1:6],
        "key_standing": trusted_keys.standing(bundle.key_id),
        "offline": offline_check.commands_for(
            bundle, manifest_files.paths_of(bundle), request.build_absolute_uri("/").rstrip("/")
        ),
        "inside": contents.inside(bundle, offered["host"].total),
        "missing_words": contents.missing_words(bundle.missing),
        "offered": offered,
        **_contents(request, bundle),
        "here": "bundles",
    }
    if bundle.source == IMPORTED:
        context["imported"] = _imported(bundle, context["artifacts"])
    if principal.may("custody.view_event"):
        context["events"] = bundle_custody.newest(bundle, checked, CUSTODY_LINES)
        context["chain"] = last_check()
    return render(request, "bundles/detail.html", context)


def _contents(request: HttpRequest, bundle: Bundle) -> dict[str, Any]:
    wanted = {"text": "find", "kind": "kind", "host": "host"}
    filters = {name: request.GET.get(parameter, "") for name, parameter in wanted.items()}
    offset = _offset(request.GET.get("from", ""))
    found = contents.page_of(bundle, offset=offset, limit=CONTENTS_A_PAGE, **filters)
    shown_to = offset + len(found.artifacts)
    return {
        "wanted": filters,
        "is_filtered": any(filters.values()),
        "records": [] if offset or filters["kind"] or filters["host"] else contents.records_of(bundle, filters["text"]),
        "artifacts": [_listed(bundle, artifact) for artifact in found.artifacts],
        "total": found.total,
        "shown_from": offset + 1,
        "shown_to": shown_to,
        "earlier_from": max(0, offset - CONTENTS_A_PAGE) if offset else None,
        "later_from": shown_to if shown_to < found.total else None,
    }


def _listed(bundle: Bundle, artifact: BundledArtifact) -> dict[str, Any]:
    """One row of the list."""
    entry = manifest_files.file_at(bundle, artifact.place) or {}
    at_us, _ = times.read(artifact.collected_at)
    return {
        "artifact": artifact,
        "name": artifact.original_name or artifact.name,
        "collected": None if at_us == times.UNDATED else EPOCH + timedelta(microseconds=at_us),
        "chunks": entry.get("chunks"),
        "faults": artifact.faults.splitlines(),
        "opens": contents.can_be_opened(bundle, artifact.size),
    }


def _imported(bundle: Bundle, listed: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The imported file: its name, as its record states it where it is listed, and its entry in the manifest."""
    folder = f"{paths.ARTIFACT_FOLDER}/{DELIVERED}/"
    entry = next((one for one in manifest_files.files_of(bundle.bundle_id) if one["path"].startswith(folder)), None)
    if entry is None:
        return None
    names = (row["name"] for row in listed if row["artifact"].artifact_id == DELIVERED)
    return {"name": next(names, entry["path"].removeprefix(folder)), "sha256": entry["sha256"], "size": entry["size"]}


def _offset(text: str) -> int:
    """An offset in a list; 0 for text that is not one."""
    return min(int(text), 10**9) if text.isascii() and text.isdigit() and len(text) < 12 else 0
