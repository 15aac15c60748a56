"""Reads the events of a case and what belongs to the case as a whole: assets, IOCs, tasks and notes.

The list of events, which no release has in v2, leaves out the source, the raw text and the assets of an event. So each
event is asked for by itself, too: its record has all fields of its own, and the list adds the name of its category. The
list is one answer, and so the state at one moment; an event that is gone afterwards is a change worth another attempt.
"""

from __future__ import annotations

import tempfile
from typing import IO, Any

from bundles.format.model.records import canonical_record, parse_record
from bundles.sources import faults
from bundles.sources.adapters.dfir_iris import header, index_keys
from bundles.sources.adapters.dfir_iris.wire import Case, Iris, UnusableAnswerError, case_number, unusable
from bundles.sources.adapters.protocol import Offer, Wanted
from bundles.sources.members import TimelineMember, named
from bundles.sources.trace import Part

LIST = "/case/timeline/events/list"
EVENT_V2, EVENT_OLDER = "/api/v2/cases/{case}/events/{event}", "/case/timeline/events/{event}"
GONE = "its record is not there any more, so only what the list says of it is in the timeline"


def fetch(iris: Iris, wanted: Wanted) -> Part:
    """Read the timeline and write `timeline.json`.

    Raises:
        jobs.errors.RetryableError: another attempt can help, also if an event was deleted meanwhile.
        jobs.errors.PermanentError: the case is unknown or may not be read, or an answer cannot be used.
    """
    number = case_number(iris.source, wanted.ref)
    with TimelineMember(iris.source, iris.client.url(f"{LIST}?cid={number}"), wanted) as member:
        case = iris.case(wanted.ref, member.trace)
        assets = header.read(iris, case, member, allow_partial=wanted.allow_partial)
        with tempfile.TemporaryFile(dir=wanted.staging) as rows:
            _spool(iris, case, member, rows)
            rows.seek(0)
            for row in rows:
                _add(iris, case, member, parse_record(row), assets, allow_partial=wanted.allow_partial)
        return member.part()


def offer(iris: Iris, ref: str) -> Offer:
    """Ask for the list of events; see `protocol.Adapter`."""
    trace = iris.scratch()
    case = iris.case(ref, trace)
    events: list[None] = []
    limits = iris.limits
    iris.records(
        LIST, trace, "timeline", lambda _: events.append(None), max_bytes=limits.timeline_bytes, cid=case.number
    )
    return Offer(records=len(events), detail="With the assets, IOCs, tasks and notes of the case.")


def _spool(iris: Iris, case: Case, member: TimelineMember, rows: IO[bytes]) -> None:
    """Write the list's rows to a scratch file; asking for each event while it arrives would keep its answer waiting."""
    position = 0

    def take(row: Any) -> None:
        nonlocal position
        position += 1
        number = row.get("event_id") if isinstance(row, dict) else None
        if not isinstance(row, dict):
            member.leave_out(unusable(row, position))
        elif isinstance(number, bool) or not isinstance(number, int):
            member.leave_out(f"{named(position, number)}: it has no event_id that is a whole number")
        else:
            rows.write(canonical_record(row) + b"\n")

    iris.records(LIST, member.trace, "timeline", take, max_bytes=iris.limits.timeline_bytes, cid=case.number)


def _add(
    iris: Iris,
    case: Case,
    member: TimelineMember,
    row: dict[str, Any],
    assets: dict[int, index_keys.Asset],
    *,
    allow_partial: bool,
) -> None:
    """Add one event: its own record, and what only the list says of it."""
    number = row["event_id"]
    older = EVENT_OLDER.format(event=number), {"cid": case.number}
    try:
        record = iris.first([older, (EVENT_V2.format(case=case.number, event=number), {})], member.trace)
    except UnusableAnswerError as error:
        member.leave_out(f"{named(member.position + 1, number)}: {str(error).rstrip('.')}")
        return
    if record is None:
        if not allow_partial:
            raise faults.unavailable(iris.source, f"event {number} was deleted while the timeline was read.")
        member.gap(f"event {number}: {GONE}.")
        record = {}
    if not isinstance(record, dict) or record.get("event_id", number) != number:
        member.leave_out(f"{named(member.position + 1, number)}: its record is not that of this event")
        return
    event = {**row, **record}
    linked = event.get("event_assets")
    linked = linked if isinstance(linked, list) else []
    member.add(index_keys.of_event(event, (assets[one] for one in linked if _known(one, assets))), number)


def _known(asset: Any, assets: dict[int, index_keys.Asset]) -> bool:
    return isinstance(asset, int) and asset in assets
