"""Reads the KillChain timeline of an incident event by event, in the order served."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bundles.format.model.records import canonical_record, write_timeline
from bundles.sources import faults
from bundles.sources.adapters.protocol import Offer
from bundles.sources.client import SourceClient
from bundles.sources.jsonstream import JsonStream, MalformedError, Refused
from bundles.sources.limits import SourceLimits
from bundles.sources.refusals import Refusals
from bundles.sources.trace import Part, Tally, Trace

MEMBER = "timeline.json"
Keep = Callable[[Any, JsonStream], None]  # a record or a `Refused`, and the document it comes from


def fetch(
    client: SourceClient,
    incident_id: str,
    staging: Path,
    tally: Tally,
    *,
    kept_as: str = "",
    allow_partial: bool = False,
) -> Part:
    """Read the timeline and write `timeline.json` into `staging`.

    Args:
        client: of the service.
        incident_id: the incident's id there.
        staging: for the member and scratch files.
        tally: counts the events.
        kept_as: the incident's id here, which goes into the member; the same if empty.
        allow_partial: leave out events that cannot be used, and name them in the part.

    Raises:
        jobs.errors.RetryableError: another attempt can help.
        jobs.errors.PermanentError: the incident is unknown, the response is not its timeline, or an event cannot be
            used and a partial bundle is not allowed.
    """
    path = f"/api/v1/timeline/{quote(incident_id, safe='')}"
    trace = Trace(client.source, client.url(path), tally)
    refusals = Refusals(client.source, "event", allowed=allow_partial)
    with tempfile.TemporaryFile(dir=staging) as lines:

        def keep(event: Any, document: JsonStream) -> None:
            if isinstance(event, Refused):
                refusals.add(event)
            elif not isinstance(event, dict):
                refusals.add(document.refused(event, "it is not an object"))
            else:
                lines.write(canonical_record(event) + b"\n")
                trace.record()

        limits = client.limits
        with client.document(
            "GET", path, max_bytes=limits.timeline_bytes, trace=trace, unknown=incident_id
        ) as document:
            header = _read(document, limits, keep)
            document.end()
            canonical_record(header)
        _check(client, header, incident_id, trace.records + refusals.count)
        header["incident_id"] = kept_as or incident_id
        lines.seek(0)
        member = staging / MEMBER
        write_timeline(member, header, (line.rstrip(b"\n") for line in lines))
    return Part(member, trace.provenance(), trace.records, left_out=refusals.reasons())


def offer(client: SourceClient, incident_id: str) -> Offer:
    """Ask for the timeline, and read only what comes before its events; see `protocol.Adapter`."""
    path = f"/api/v1/timeline/{quote(incident_id, safe='')}"
    client.allow()
    with client.answer("GET", path, unknown=incident_id):
        return Offer(detail="The number of events is known once they are read.")


def _read(document: JsonStream, limits: SourceLimits, keep: Keep) -> dict[str, Any]:
    """The timeline's header; `{"timeline": {…}}` is unwrapped, and other keys of that wrapper are dropped."""
    header: dict[str, Any] = {}
    enclosed: dict[str, Any] | None = None
    has_events = False
    for key in document.members():
        if key == "timeline" and document.peek() == "{":
            enclosed, enclosed_has_events = _members(document, limits, keep)
            if not enclosed_has_events:
                raise MalformedError("the timeline has no list of events")
        elif key == "events":
            has_events = True
            _events(document, limits, keep)
        else:
            header[key] = document.value(limits.header_bytes)
    if has_events == (enclosed is not None):
        raise MalformedError("it is not one timeline with a list of events")
    return header if enclosed is None else enclosed


def _members(document: JsonStream, limits: SourceLimits, keep: Keep) -> tuple[dict[str, Any], bool]:
    header: dict[str, Any] = {}
    has_events = False
    for key in document.members():
        if key == "events":
            has_events = True
            _events(document, limits, keep)
        else:
            header[key] = document.value(limits.header_bytes)
    return header, has_events


def _events(document: JsonStream, limits: SourceLimits, keep: Keep) -> None:
    for event in document.records(limits.record_bytes, ids=("id",)):
        keep(event, document)


def _check(client: SourceClient, header: dict[str, Any], incident_id: str, events: int) -> None:
    if header.get("incident_id") != incident_id:
        raise faults.invalid(client.source, f"it answered with another incident than {incident_id}.")
    count = header.get("event_count")
    if count is not None and (isinstance(count, bool) or count != events):
        raise faults.invalid(client.source, f"it sent {events} events, which is not what its event_count says.")
