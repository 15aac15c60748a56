"""The custody page: filtered events, verification of the chain, and exports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from custody import actions, chain, exports, folding
from custody.models import Event
from foundation import keyset
from foundation.principal import of_request

CHAIN_CHECKED = "custody.verify"
COLUMNS = (
    "sequence", "at", "actor", "authenticated_by", "address", "action", "object_type", "object_id", "incident_id",
    "digest", "outcome", "details", "hash",
)  # fmt: skip


class DayField(forms.DateField):
    """A date as YYYY-MM-DD, typed: a browser's own date field shows dates in the order of its language."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            input_formats=["%Y-%m-%d"],
            widget=forms.DateInput(
                format="%Y-%m-%d",
                attrs={"placeholder": "YYYY-MM-DD", "maxlength": 10, "autocomplete": "off", "inputmode": "numeric"},
            ),
            error_messages={"invalid": "A date is written YYYY-MM-DD."},
        )


class FilterForm(forms.Form):
    """Filters of the list; every field is optional."""

    incident = forms.CharField(required=False, max_length=128)
    object = forms.CharField(required=False, max_length=128)
    actor = forms.CharField(required=False, max_length=150)
    action = forms.CharField(required=False, max_length=60, widget=forms.Select)
    since = DayField()
    until = DayField()

    def __init__(self, given: QueryDict) -> None:
        super().__init__(given)
        select = self.fields["action"].widget
        assert isinstance(select, forms.Select)  # noqa: S101 # as declared above
        select.attrs.pop("maxlength", None)  # of a text field only
        select.choices = actions.choices(given.get("action", "").strip()[:60])


@require_http_methods(["GET", "HEAD", "POST"])
def custody_page(request: HttpRequest) -> HttpResponse:
    """List events, newest first; POST checks the whole chain and records that it was checked."""
    principal = of_request(request)
    principal.require("custody.view_event")
    if request.method == "POST":
        report = chain.verify()
        details = {"events": report.events, "last_hash": report.last_hash, "fault": report.fault}
        outcome = "ok" if report.intact else "chain_broken"
        chain.record(principal, CHAIN_CHECKED, "chain", str(report.last_sequence), outcome=outcome, details=details)
        if report.intact:
            messages.success(
                request, f"The chain is intact: {report.events:,} events, up to #{report.last_sequence:,}."
            )
        else:
            messages.error(request, f"The chain is broken: {report.fault}.")
        return redirect("custody-page")
    form = FilterForm(request.GET)
    form.is_valid()
    listed = _filtered(form.cleaned_data)
    found = keyset.page(listed, order=("-sequence",), cursor=request.GET.get("cursor", ""), limit=50)
    context = {
        "form": form,
        "page": found,
        "lines": folding.lines(found.items, listed),
        "cursor": request.GET.get("cursor", ""),
        "is_filtered": any(form.cleaned_data.values()),
        "chain": last_check(),
        "here": "custody",
    }
    return render(request, "custody/list.html", context)


@require_safe
def custody_export(request: HttpRequest) -> HttpResponseBase:
    """The whole chain as JSON lines, first event first: what `verify_custody --file` checks without this database."""
    of_request(request).require("custody.view_event")
    response = StreamingHttpResponse(_lines(), content_type="application/x-ndjson")
    stamp = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    response["Content-Disposition"] = f'attachment; filename="custody_{stamp}.jsonl"'
    return response


@require_GET
def custody_csv(request: HttpRequest) -> HttpResponseBase:
    """The filtered events as a table, newest first: to read, where the JSON lines are to verify."""
    principal = of_request(request)
    principal.require("custody.view_event")
    form = FilterForm(request.GET)
    form.is_valid()
    rows = _filtered(form.cleaned_data)
    events = keyset.walk(lambda cursor: keyset.page(rows, order=("-sequence",), cursor=cursor, limit=keyset.MAX_LIMIT))
    table = ([getattr(event, column) for column in COLUMNS] for event in events)
    return exports.as_csv(principal, "custody", COLUMNS, table, filters=form.cleaned_data)


def last_check() -> dict[str, Any] | None:
    """What the newest check of the chain found, by whom and when; None when nobody has checked yet."""
    event = Event.objects.filter(action=CHAIN_CHECKED).first()
    if event is None:
        return None
    details = json.loads(event.details)
    return {
        "at": event.at,
        "actor": event.actor,
        "intact": event.outcome == "ok",
        "up_to": int(event.object_id),
        "fault": details.get("fault", ""),
    }


def _filtered(wanted: dict[str, Any]) -> QuerySet[Event]:
    rows = Event.objects.all()
    names = {"incident": "incident_id", "object": "object_id", "actor": "actor", "action": "action"}
    for name, column in names.items():
        if wanted.get(name):
            rows = rows.filter(**{column: wanted[name]})
    if wanted.get("since"):
        rows = rows.filter(at__gte=_midnight(wanted["since"]))
    if wanted.get("until"):
        rows = rows.filter(at__lte=datetime.combine(wanted["until"], time.max, tzinfo=UTC))
    return rows


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _lines() -> Iterator[str]:
    for event in chain.export(Event.objects.order_by("sequence").iterator(chunk_size=2000)):
        yield json.dumps(event, sort_keys=True, separators=(",", ":")) + "\n"
