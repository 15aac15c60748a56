"""The pages that verify a file which somebody brings: compared in the browser, or uploaded and verified by a job.

The browser's comparison sends nothing of the file; it asks only which of our bundles have its size. What is uploaded
goes into quarantine, in pieces that can be resumed where JavaScript runs, as a plain form where it does not.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from csp.constants import SELF
from csp.decorators import csp_replace
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from bundles import file_matching
from bundles.errors import BundleNotFoundError, UploadOffsetError
from bundles.models import Bundle
from bundles.uploads import quarantine, resumable, verify_upload
from foundation.principal import of_request
from jobs import services as job_services
from jobs.console import progress_view
from jobs.models import ENDED, Job

LARGEST_SIZE = 2**53
_DIGEST = re.compile(r"[0-9a-f]{64}")


@csp_replace({"worker-src": [SELF]})
@require_safe
def verify_file_page(request: HttpRequest) -> HttpResponse:
    """Choose a file."""
    of_request(request).require("bundles.view_bundle")
    return render(request, "verify/choose.html", {"here": "bundles", "piece_bytes": resumable.PIECE_BYTES})


@require_POST
def receive_file(request: HttpRequest) -> HttpResponse:
    """Take a file from a plain form, and go to the job that verifies it."""
    principal, given = of_request(request), request.FILES.get("bundle_file")
    if given is None:
        messages.error(request, "Choose a bundle file first.")
        return redirect("verify-file")
    upload = quarantine.receive(principal, given, given.name or "")
    return redirect("verify-file-result", job_id=verify_upload.request(principal, upload, given.name or "").job.job_id)


@require_safe
def held_part(request: HttpRequest) -> JsonResponse:
    """Which bundles have a file's size, with the digests of their ranges; with `root`, only one with the same."""
    size, root = _whole(request.GET.get("size", "")), request.GET.get("root", "")
    held = file_matching.of_size(of_request(request), size, root if _DIGEST.fullmatch(root) else "")
    return JsonResponse(
        {
            "range_bytes": held.range_bytes,
            "bundles": [{**file_matching.as_dict(bundle), "address": _address(bundle)} for bundle in held.bundles],
            "more": held.more,
            "without": [{"incident_id": one.incident_id, "address": _address(one)} for one in held.without],
        }
    )


@require_POST
def begin_upload(request: HttpRequest) -> JsonResponse:
    """Begin a resumable upload: its ticket."""
    size = _whole(request.POST.get("size", ""))
    return JsonResponse({"ticket": resumable.begin(of_request(request), request.POST.get("name", ""), size)})


@require_http_methods(["GET", "PUT", "POST"])
def upload_part(request: HttpRequest) -> JsonResponse:
    """An upload by its ticket: GET tells how much is here, PUT adds a piece, POST has the whole verified."""
    principal, ticket = of_request(request), request.headers.get("Upload-Ticket", "")
    try:
        if request.method == "PUT":
            at = _whole(request.headers.get("Upload-Offset", ""))
            return JsonResponse({"offset": resumable.append(principal, ticket, at, request)})
        if request.method == "POST":
            job = resumable.finish(principal, ticket)
            return JsonResponse({"address": reverse("verify-file-result", kwargs={"job_id": job.job_id})})
        return JsonResponse({"offset": resumable.offset(principal, ticket)})
    except UploadOffsetError as error:
        return JsonResponse({"code": error.code, "detail": str(error), "offset": error.offset}, status=409)


@require_safe
def verify_file_result(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """The verdict on an uploaded file, live until the job has ended."""
    principal = of_request(request)
    principal.require("bundles.view_bundle")
    job = job_services.get(principal, job_id)
    if job.job_type != verify_upload.JOB_TYPE:
        raise BundleNotFoundError("This job verifies no uploaded file.")
    template = "verify/live.html" if request.headers.get("HX-Request") else "verify/result.html"
    return render(request, template, _verdict(job))


def _verdict(job: Job) -> dict[str, Any]:
    result: dict[str, Any] = job.result or {}
    held = result.get("held")
    return {
        "job": job,
        "progress": progress_view.view_of(job),
        "ended": job.status in ENDED,
        "report": result.get("report"),
        "held": Bundle.objects.filter(bundle_id=held).first() if held else None,
        "here": "bundles",
    }


def _address(bundle: Bundle) -> str:
    return reverse("bundle-page", kwargs={"bundle_id": bundle.bundle_id})


def _whole(text: str) -> int:
    """A size or offset; what is none is beyond every file, and so refused as such."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else LARGEST_SIZE
