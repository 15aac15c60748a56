"""The pages of bundles: the list, and the form for a new one."""

from __future__ import annotations

import time
from typing import Any, TypedDict

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from bundles import batch, services
from bundles.format.model.limits import DEFAULT_CHUNK_MIB, MAX_CHUNK_MIB
from bundles.format.model.paths import INCIDENT_ID_RULE, MAX_INCIDENT_ID, valid_incident_id
from bundles.sources import configured, dependency_status, health
from bundles.sources.profiles import PARTS
from custody import exports
from foundation import keyset
from foundation.principal import of_request
from jobs.models import Job

RECENT_JOBS = 200
COLUMNS = (
    "bundle_id", "incident_id", "name", "size", "created_at", "created_by", "state", "complete", "verified_ok",
    "verified_at", "files", "total_bytes", "sha256", "content_digest", "manifest_hash", "key_id", "signer", "source",
    "job_id",
)  # fmt: skip

ALREADY_ACTIVE = "A bundle of this incident is already being made. This is its job; no second one was started."


REF = "ref-"  # begins the name of a field for the incident's id in a system


class NewBundleForm(forms.Form):
    """The parameters of a new bundle, with the defaults of the API.

    There is a choice of profiles if there is more than one, and a field for the incident's id in each system if a file
    names them.
    """

    incident_id = forms.CharField(label="Incident id", max_length=MAX_INCIDENT_ID)
    priority = forms.IntegerField(min_value=-1000, max_value=1000, initial=100)
    chunk_size_mb = forms.IntegerField(
        label="Chunk size, MiB", min_value=1, max_value=MAX_CHUNK_MIB, initial=DEFAULT_CHUNK_MIB
    )
    allow_partial = forms.BooleanField(label="Allow a partial bundle", required=False)
    source = forms.ChoiceField(
        choices=(("live", "The live sources"), ("restored", "What was restored here")), initial="live"
    )
    compression = forms.ChoiceField(
        choices=[(name, name) for name in services.COMPRESSIONS], initial=services.COMPRESSIONS[0], required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = configured.current()
        if len(known.profiles) > 1:
            choices = [(name, one.title or name) for name, one in known.profiles.items()]
            self.fields["profile"] = forms.ChoiceField(label="Source profile", choices=choices, initial=known.default)
        given = [name for name in (*self.data, *self.initial) if name.startswith(REF)]
        self.systems = list(known.systems.values()) if known.file or given else []
        for system in self.systems:
            self.fields[REF + system.name] = forms.CharField(
                label=configured.title_of(system), required=False, max_length=configured.MOST_REF_CHARS
            )

    def profiles(self) -> list[dict[str, Any]]:
        """The profiles to choose from, each with the systems of its parts."""
        known = configured.current()
        return [
            {
                "name": one.name,
                "title": one.title or one.name,
                "chosen": self["profile"].value() == one.name,
                "parts": [(part.key, configured.title_of(system)) for part, system in one.systems.items()],
                "lacks": [part.key for part in PARTS if part not in one.systems],
            }
            for one in (known.profiles.values() if "profile" in self.fields else ())
        ]

    def refs(self) -> list[dict[str, Any]]:
        """The fields for ids in systems."""
        known = configured.current()
        return [
            {"system": one.name, "field": self[REF + one.name], "profiles": known.users_of(one.name)}
            for one in self.systems
        ]

    def has_refs(self) -> bool:
        """Whether any of these fields has a value."""
        return any(one["field"].value() for one in self.refs())

    def clean(self) -> dict[str, Any]:
        """Check the ids against the profile, and give `profile` and `refs` as the service takes them."""
        values: dict[str, Any] = super().clean() or {}
        refs = {one.name: text for one in self.systems if (text := values.pop(REF + one.name, ""))}
        if values.get("source") == "live" and "profile" not in self.errors:
            profile = configured.current().get(values.get("profile", ""))
            for name, says in configured.refs_faults(profile, refs).items():
                field = name.replace("refs.", REF, 1)
                self.add_error(field if field in self.fields else None, f"{says[0].upper()}{says[1:]}.")
            return {**values, "profile": profile.name, "refs": refs}
        return {**values, "profile": "", "refs": {}}

    def clean_incident_id(self) -> str:
        """Refuse text that is not an incident id."""
        incident_id: str = self.cleaned_data["incident_id"].strip()
        if not valid_incident_id(incident_id):
            raise forms.ValidationError(INCIDENT_ID_RULE)
        return incident_id

    def clean_compression(self) -> str:
        """The default where none was chosen."""
        return self.cleaned_data["compression"] or services.COMPRESSIONS[0]


class BundleFilters(TypedDict):
    """The filters of the list of bundles; an empty one filters nothing."""

    incident_id: str
    verdict: str


def filters(request: HttpRequest) -> BundleFilters:
    """The filters in the address; an unknown verdict filters nothing."""
    verdict = request.GET.get("verdict", "")
    incident_id = request.GET.get("incident_id", "").strip()
    return {"incident_id": incident_id, "verdict": verdict if verdict in services.VERDICTS else ""}


@require_safe
def bundles_page(request: HttpRequest) -> HttpResponse:
    """List bundles, newest first, with checkboxes to verify several together."""
    principal = of_request(request)
    wanted, cursor = filters(request), request.GET.get("cursor", "")
    context = {
        "page": services.page(principal, **wanted, cursor=cursor),
        "filters": wanted,
        "is_filtered": any(wanted.values()),
        "verdicts": services.VERDICT_WORDS,
        "cursor": cursor,
        "most": batch.MOST_AT_ONCE,
        "select": principal.may("bundles.verify_bundle"),
        "here": "bundles",
    }
    return render(request, "bundles/list.html", context)


@require_GET
def bundles_csv(request: HttpRequest) -> HttpResponseBase:
    """The filtered list as CSV, newest first."""
    principal = of_request(request)
    wanted = filters(request)
    bundles = keyset.walk(lambda cursor: services.page(principal, **wanted, cursor=cursor, limit=keyset.MAX_LIMIT))
    rows = ([getattr(bundle, column) for column in COLUMNS] for bundle in bundles)
    return exports.as_csv(principal, "bundles", COLUMNS, rows, filters=wanted)


@require_http_methods(["GET", "HEAD", "POST"])
def new_bundle_page(request: HttpRequest) -> HttpResponse:
    """Show the form; POST queues the job and redirects to it, or to an equal one that is already active."""
    principal = of_request(request)
    principal.require("bundles.create_bundle")
    checked = None
    if request.method == "POST":
        form = NewBundleForm(request.POST)
        if form.is_valid() and request.POST.get("action") == "check":
            asked_for = ("incident_id", "profile", "refs")
            if form.cleaned_data["source"] == "live":
                checked = services.check_sources(principal, **{name: form.cleaned_data[name] for name in asked_for})
        elif form.is_valid():
            enqueued = services.request_bundle(principal, **form.cleaned_data)
            if not enqueued.created:
                messages.info(request, ALREADY_ACTIVE)
            return redirect("job-page", job_id=enqueued.job.job_id)
    else:
        asked = {name: value for name, value in request.GET.items() if value and _is_field(name)}
        form = NewBundleForm(initial=asked)
    context = {
        "form": form,
        "known": _known_incidents(),
        "more": any(not _is_above(name) for name in (*form.errors, *(request.GET if request.method != "POST" else ()))),
        "checked": checked,
        "has_file": bool(configured.current().file),
        "incident_id": form["incident_id"].value() or "",
        "sources": sources_state() if "ask" in request.GET else None,
        "here": "bundles",
    }
    return render(request, "bundles/new.html", context)


@require_safe
def sources_part(request: HttpRequest) -> HttpResponse:
    """The state of the sources, for pages that request it after they have loaded."""
    of_request(request).require("bundles.view_bundle")
    template = "bundles/sources.html" if request.headers.get("HX-Request") else "bundles/sources_page.html"
    return render(request, template, {"sources": sources_state(), "here": "bundles"})


def sources_state() -> dict[str, Any]:
    """Query every source; the answers, and the time that took in milliseconds."""
    began = time.monotonic()
    found = health.reachability()
    dependency_status.record_all(found)
    needed = [source for source in found if not source.informational]
    return {
        "many": len(configured.current().profiles) > 1,
        "rows": found,
        "down": [source for source in needed if source.down],
        "asked_ms": round((time.monotonic() - began) * 1000),
    }


def _is_field(name: str) -> bool:
    return name in NewBundleForm.base_fields or _is_above(name)


def _is_above(name: str) -> bool:
    """Whether the field is not among those that are folded."""
    return name in {"incident_id", "profile"} or name.startswith(REF)


def _known_incidents() -> list[str]:
    """Incident ids of the newest jobs as suggestions, without duplicates."""
    recent = Job.objects.order_by("-created_at", "-job_id").values_list("incident_id", flat=True)[:RECENT_JOBS]
    return [incident_id for incident_id in dict.fromkeys(recent) if incident_id]
