"""One record of an incident as a row of a list and as a page of its own."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from bundles.format.model import paths
from bundles.intake.adapter import FROM
from bundles.intake.source import NAME as IMPORTED
from bundles.models import IndexedRecord
from bundles.timelines.observables import is_hash, observables_in
from bundles.timelines.reading import RECORD_CHARS
from bundles.timelines.severities import SEVERITIES
from bundles.timelines.times import UNDATED
from foundation.json_text import indented
from incidents.summary import BUNDLE, IncidentView
from incidents.timeline import drawing
from incidents.timeline.filters import EVERYTHING, Filter, html_time_of, moment_at, phase_words

AROUND_US = 5 * 60 * 10**6
MOST_PIVOTS = 12


def row_of(record: IndexedRecord, view: IncidentView) -> dict[str, Any]:
    """A record for the list: the row itself, and its time, phase and severity in words."""
    at = "" if record.at_us == UNDATED else shown(moment_at(record.at_us))
    return {
        "record": record,
        "at": at,
        "iso": html_time_of(record.at_us) if at else "",
        "has_text_beside": not _is_same(at, record.time),
        "phase": phase_words(record.phase),
        "severity": SEVERITIES[record.severity],
        "rated": record.rated if record.rated.strip().lower() != SEVERITIES[record.severity] else "",
        "shape": drawing.shape_of(record.severity),
        "what": record.what.replace("_", " "),
        "origin": view.origin if view.other_origin else "",
    }


def detail_of(record: IndexedRecord, view: IncidentView) -> dict[str, Any]:
    """A record for its own page: the row, its full text, the records around it, and what to follow from it."""
    whole = len(record.record) < RECORD_CHARS
    around = ""
    if record.at_us != UNDATED:
        near = Filter(since_us=record.at_us - AROUND_US, until_us=record.at_us + AROUND_US)
        around = near.query(view.origin, EVERYTHING) + "#records"
    return {
        **row_of(record, view),
        "whole": whole,
        "text": indented(record.record, letters=True) if whole else record.record,
        "around": around,
        "imported": imported_from(record, view),
        "pivots": pivots_of(record, view.origin),
    }


def imported_from(record: IndexedRecord, view: IncidentView) -> dict[str, Any] | None:
    """Where in an imported file a record was read, and where the bundle's page lists that artifact; None if nowhere."""
    bundle = view.bundle
    if view.origin != BUNDLE or bundle is None or bundle.source != IMPORTED:
        return None
    note = _field(record.record, FROM)
    if not isinstance(note, dict) or not isinstance(note.get("artifact_id"), str):
        return None
    find = urlencode({"find": f"{paths.ARTIFACT_FOLDER}/{note['artifact_id']}/"})
    page = reverse("bundle-page", kwargs={"bundle_id": bundle.bundle_id})
    places = {name: note.get(name) for name in ("member", "line", "position")}
    return {"artifact_id": note["artifact_id"], **places, "href": f"{page}?{find}#contents"}


def _field(text: str, name: str) -> Any:
    """A field of a record's canonical JSON, which may be cut; None if it is not there."""
    decoder, at = json.JSONDecoder(), 1
    try:
        while True:
            key, at = decoder.raw_decode(text, at)
            value, at = decoder.raw_decode(text, at + 1)
            if key == name:
                return value
            at += 1
    except (ValueError, RecursionError):
        return None


def pivots_of(record: IndexedRecord, origin: str) -> list[dict[str, str]]:
    """Hosts, accounts, addresses and hashes of a record, each with the address of all records that name it."""
    found: dict[tuple[str, str], str] = {}
    for host in record.hosts:
        found["Host", host] = Filter(host=host).query(origin, EVERYTHING)
    for account in record.accounts:
        found["Account", account] = Filter(account=account).query(origin, EVERYTHING)
    for value in sorted(observables_in([record.record])):
        found["Hash" if is_hash(value) else "Address", value] = Filter(text=value).query(origin, EVERYTHING)
    return [
        {"kind": kind, "name": name, "href": f"{href}#records"}
        for (kind, name), href in list(found.items())[:MOST_PIVOTS]
    ]


def shown(at: datetime) -> str:
    """To the millisecond, or to the microsecond where the record has them."""
    return at.replace(tzinfo=None).isoformat(" ", "microseconds" if at.microsecond % 1000 else "milliseconds")


def _is_same(at: str, original: str) -> bool:
    """Whether the original text is the shown time in the same figures, which need not be shown twice."""
    figures, in_utc, rest = original.partition("Z")
    if not in_utc:
        figures, in_utc, rest = original.partition("+00:00")
    whole = figures.replace("T", " ") + ("" if "." in figures else ".")
    return bool(in_utc) and not rest and whole.rstrip("0") == at.rstrip("0")
