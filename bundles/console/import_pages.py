"""The pages of imports: a file is chosen, shown as it will be read, and bundled."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from bundles.console import file_pages, import_view
from bundles.errors import IncidentIdInvalidError, InvalidBundleRequestError
from bundles.format.model.paths import MAX_INCIDENT_ID
from bundles.intake import mappings, rereading, services, uploads
from bundles.intake.formats import kinds
from bundles.intake.services import Arrived
from bundles.models import Intake, IntakeMapping
from bundles.uploads import quarantine, resumable
from custody import exports
from foundation import keyset
from foundation.principal import Principal, of_request
from jobs.console import progress_view
from jobs.models import ENDED, Job

COLUMNS = ("intake_id", "name", "size", "sha256", "received_at", "received_by", "state", "job_id", "bundle_id")
NOTHING_CHOSEN = "Choose a file first."
DISCARDED = "The file was discarded. Its line in custody stays."
FIELD = "map-"  # begins the name of a field for a column


@require_http_methods(["GET", "HEAD", "POST"])
def import_page(request: HttpRequest) -> HttpResponse:
    """Choose a file, and the files that were imported; POST receives a file of a plain form."""
    principal = of_request(request)
    if request.method == "POST":
        given = request.FILES.get("file")
        if given is None:
            messages.error(request, NOTHING_CHOSEN)
            return redirect("import-page")
        return redirect("import-preview", intake_id=_receive(principal, given).intake_id)
    cursor = request.GET.get("cursor", "")
    page = services.listed(principal, cursor=cursor)
    context = {
        "page": page,
        "rows": import_view.rows_of(page.items),
        "cursor": cursor,
        "piece_bytes": resumable.PIECE_BYTES,
        "here": "bundles",
    }
    return render(request, "import/choose.html", context)


@require_GET
def imports_csv(request: HttpRequest) -> HttpResponseBase:
    """The list of imports as CSV, newest first."""
    principal = of_request(request)
    found = keyset.walk(lambda cursor: services.listed(principal, cursor=cursor, limit=keyset.MAX_LIMIT))
    rows = ([getattr(intake, column) for column in COLUMNS] for intake in found)
    return exports.as_csv(principal, "imports", COLUMNS, rows, filters={})


@require_POST
def begin_upload(request: HttpRequest) -> JsonResponse:
    """Begin a resumable upload of a file to import and return its ticket."""
    name, size = request.POST.get("name", ""), file_pages.number_of(request.POST.get("size", ""))
    return JsonResponse({"ticket": resumable.begin(of_request(request), name, size, purpose=resumable.IMPORT)})


@require_http_methods(["GET", "PUT", "POST"])
def upload_part(request: HttpRequest) -> JsonResponse:
    """An upload by its ticket: GET returns the bytes received, PUT adds a piece, POST imports the complete file."""
    principal = of_request(request)
    return file_pages.answer_upload(request, lambda ticket: _address(uploads.finish(principal, ticket)))


@require_http_methods(["GET", "HEAD", "POST"])
def preview_page(request: HttpRequest, intake_id: UUID) -> HttpResponse:
    """Show how a file will be read; POST makes the bundle, reads it again, saves columns, or discards it."""
    principal = of_request(request)
    intake = services.find(principal, intake_id)
    saved = mappings.saved(principal)
    form = _form(request, intake, saved) if request.method == "POST" else None
    if form is not None:
        try:
            return _act(request, intake, form)
        except IncidentIdInvalidError as error:
            form["refused"] = str(error)
        except InvalidBundleRequestError as error:
            messages.error(request, _in_words(error))
    template = "import/live.html" if request.headers.get("HX-Request") else "import/preview.html"
    context = _context(intake, form, saved)
    return render(request, template, context, status=200 if form is None else 400)


def _act(request: HttpRequest, intake: Intake, form: dict[str, Any]) -> HttpResponse:
    """Do what a button asks for.

    Raises:
        IncidentIdInvalidError: nothing was started.
        InvalidBundleRequestError: nothing was started or saved.
    """
    principal, action = of_request(request), request.POST.get("action", "")
    here, columns, password = intake.intake_id, form["mapping"], form["password"]
    if action == "discard":
        services.discard(principal, here)
        messages.success(request, DISCARDED)
        return redirect("import-page")
    if action == "save":
        made = mappings.save(principal, request.POST.get("save_as", "").strip(), columns)
        messages.success(request, f"Saved as {made.name}.")
    elif action == "use":
        columns = mappings.get(principal, request.POST.get("saved", "")).mapping if request.POST.get("saved") else {}
    elif action != "preview":
        how = {"mapping_name": form["mapping_name"]} if form["mapping_name"] else {"mapping": columns}
        made_by = services.request_bundle(principal, here, incident_id=form["incident_id"], password=password, **how)
        return redirect("job-page", job_id=made_by.job.job_id)
    rereading.request(principal, here, mapping=columns, password=password)
    return redirect("import-preview", intake_id=here)


def _form(request: HttpRequest, intake: Intake, saved: list[IntakeMapping]) -> dict[str, Any]:
    """What was entered. A form without columns keeps those of the preview, by the name under which they are saved."""
    preview = intake.preview or {}
    columns: list[str] = preview.get("columns", [])
    chose = any(name.startswith(FIELD) for name in request.POST)
    mapping = _mapping(request, columns) if chose else preview.get("asked", {}).get("mapping", {})
    return {
        "incident_id": request.POST.get("incident_id", preview.get("incident_id", "")).strip(),
        "mapping": mapping,
        "mapping_name": _name_of(mapping, columns, saved),
        "password": request.POST.get("password", ""),
        "refused": "",
    }


def _name_of(mapping: dict[str, str], columns: list[str], saved: list[IntakeMapping]) -> str:
    """The name under which these columns are saved; empty for none."""
    return next((one.name for one in saved if mapping and _within(one, columns) == mapping), "")


def _context(intake: Intake, form: dict[str, Any] | None, saved: list[IntakeMapping]) -> dict[str, Any]:
    job = Job.objects.filter(job_id=intake.preview_job_id).first() if intake.preview_job_id else None
    reading = job is not None and job.status not in ENDED
    preview = None if reading else intake.preview
    [row] = import_view.rows_of([intake])
    context: dict[str, Any] = {
        "intake": intake,
        "row": row,
        "job": job,
        "reading": reading,
        "progress": progress_view.view_of(job) if job is not None and reading else None,
        "preview": preview,
        "failed": job is not None and job.status in ENDED and not job.is_completed,
        "here": "bundles",
    }
    if preview:
        columns = preview["columns"]
        asked = form["mapping"] if form else preview["asked"]["mapping"]
        context |= import_view.shown(preview)
        context |= {
            "incident_id": form["incident_id"] if form else preview["incident_id"],
            "refused": form["refused"] if form else "",
            "max_incident_id": MAX_INCIDENT_ID,
            "saved": saved,
            "chosen_saved": _name_of(asked, columns, saved),
            "mapped": [
                {"field": FIELD + ours, "holds": import_view.HOLDS[ours], "column": asked.get(ours)}
                for ours in kinds.MAPPED_TO
            ],
        }
    return context


def _within(saved: IntakeMapping, columns: list[str]) -> dict[str, str]:
    """What a saved mapping says of these columns."""
    return {ours: theirs for ours, theirs in saved.mapping.items() if theirs in columns}


def _receive(principal: Principal, given: UploadedFile[Any]) -> Intake:
    """Take in a file of a plain form."""
    principal.require(services.PERMISSION)
    upload = quarantine.keep(given, most=settings.ORCH_MAX_UPLOAD_BYTES)
    arrived = Arrived(file=Path(upload.path), name=given.name or "", size=upload.size, sha256=upload.sha256)
    return services.receive(principal, arrived)


def _mapping(request: HttpRequest, columns: list[str]) -> dict[str, str]:
    """The columns that were chosen, by their place: a form does not return every character of a name as it is."""
    chosen = {ours: request.POST.get(FIELD + ours, "") for ours in kinds.MAPPED_TO}
    return {
        ours: columns[int(place)]
        for ours, place in chosen.items()
        if place.isascii() and place.isdigit() and len(place) < 4 and int(place) < len(columns)
    }


def _in_words(error: InvalidBundleRequestError) -> str:
    return "Nothing was started. " + "; ".join(f"{name}: {why}" for name, why in error.fields.items()) + "."


def _address(intake: Intake) -> str:
    return reverse("import-preview", kwargs={"intake_id": intake.intake_id})
