"""The pages that verify a file of the user: compared in the browser, or uploaded and verified by a job.

Comparing in the browser sends nothing of the file; it only asks which stored bundles have its size. Uploads go into
quarantine: in resumable pieces with JavaScript, as a plain form without.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
from bundles.artifacts import contents
from bundles.errors import BundleNotFoundError, UploadOffsetError
from bundles.format.model.errors import STEPS
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
    """The page to choose a file."""
    of_request(request).require("bundles.view_bundle")
    context = {"here": "bundles", "piece_bytes": resumable.PIECE_BYTES, "checks": STEPS.values()}
    return render(request, "verify/choose.html", context)


@require_POST
def receive_file(request: HttpRequest) -> HttpResponse:
    """Receive a file from a plain form and redirect to the job that verifies it."""
    principal, given = of_request(request), request.FILES.get("bundle_file")
    if given is None:
        messages.error(request, "Choose a bundle file first.")
        return redirect("verify-file")
    upload = quarantine.receive(principal, given, given.name or "")
    return redirect("verify-file-result", job_id=verify_upload.request(principal, upload, given.name or "").job.job_id)


@require_safe
def held_part(request: HttpRequest) -> JsonResponse:
    """The bundles with a file's size and the digests of their ranges; with `root`, only those with the same root."""
    size, root = number_of(request.GET.get("size", "")), request.GET.get("root", "")
    found = file_matching.bundles_of_size(of_request(request), size, root if _DIGEST.fullmatch(root) else "")
    return JsonResponse(
        {
            "range_bytes": found.range_bytes,
            "bundles": [{**file_matching.as_dict(bundle), "address": _address(bundle)} for bundle in found.bundles],
            "more": found.more,
            "without": [{"incident_id": one.incident_id, "address": _address(one)} for one in found.without],
        }
    )


@require_POST
def begin_upload(request: HttpRequest) -> JsonResponse:
    """Begin a resumable upload and return its ticket."""
    size = number_of(request.POST.get("size", ""))
    return JsonResponse({"ticket": resumable.begin(of_request(request), request.POST.get("name", ""), size)})


@require_http_methods(["GET", "PUT", "POST"])
def upload_part(request: HttpRequest) -> JsonResponse:
    """An upload by its ticket: GET returns the bytes received, PUT adds a piece, POST queues its verification."""
    principal = of_request(request)

    def finish(ticket: str) -> str:
        return reverse("verify-file-result", kwargs={"job_id": resumable.finish(principal, ticket).job_id})

    return answer_upload(request, finish)


def answer_upload(request: HttpRequest, finish: Callable[[str], str]) -> JsonResponse:
    """Answer a request about an upload.

    Args:
        request: with the ticket in its header `Upload-Ticket`.
        finish: takes a complete upload by its ticket and returns the address of the page to go on with.
    """
    principal, ticket = of_request(request), request.headers.get("Upload-Ticket", "")
    try:
        if request.method == "PUT":
            at = number_of(request.headers.get("Upload-Offset", ""))
            return JsonResponse({"offset": resumable.append(principal, ticket, at, request)})
        if request.method == "POST":
            return JsonResponse({"address": finish(ticket)})
        return JsonResponse({"offset": resumable.offset(principal, ticket)})
    except UploadOffsetError as error:
        return JsonResponse({"code": error.code, "detail": str(error), "offset": error.offset}, status=409)


@require_safe
def verify_file_result(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """The verdict on an uploaded file, updated until the job ends."""
    principal = of_request(request)
    principal.require("bundles.view_bundle")
    job = job_services.get(principal, job_id)
    if job.job_type != verify_upload.JOB_TYPE:
        raise BundleNotFoundError("This job does not verify an uploaded file.")
    template = "verify/live.html" if request.headers.get("HX-Request") else "verify/result.html"
    return render(request, template, _verdict(job))


def _verdict(job: Job) -> dict[str, Any]:
    result: dict[str, Any] = job.result or {}
    held, report = result.get("held"), result.get("report")
    return {
        "job": job,
        "progress": progress_view.view_of(job),
        "ended": job.status in ENDED,
        "report": report,
        "missing_words": contents.missing_words(report["missing"]) if report and report.get("missing") else "",
        "held": Bundle.objects.filter(bundle_id=held).first() if held else None,
        "here": "bundles",
    }


def _address(bundle: Bundle) -> str:
    return reverse("bundle-page", kwargs={"bundle_id": bundle.bundle_id})


def number_of(text: str) -> int:
    """A size or offset; for anything else a number larger than any file, which is then refused."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else LARGEST_SIZE
