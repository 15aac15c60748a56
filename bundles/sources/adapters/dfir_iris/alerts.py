"""Reads the alerts that are linked to a case, complete or not at all; `pages` says how that is known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bundles.sources.adapters.dfir_iris import index_keys
from bundles.sources.adapters.dfir_iris.pages import ALERTS, Reader
from bundles.sources.adapters.dfir_iris.wire import Iris
from bundles.sources.adapters.protocol import Offer, Wanted
from bundles.sources.faults import SourceFault
from bundles.sources.members import RecordsMember, named
from bundles.sources.trace import Part, Trace


class _Kept:
    """The alerts of one reading; see `pages.Sink`."""

    def __init__(self, member: RecordsMember) -> None:
        self.member = member

    @property
    def trace(self) -> Trace:
        return self.member.trace

    def take(self, record: Any) -> None:
        number = record.get("alert_id") if isinstance(record, dict) else None
        if not isinstance(record, dict):
            self.member.leave_out(f"{named(self.member.position + 1)}: it is not an object")
        elif isinstance(number, bool) or not isinstance(number, int | str):
            self.member.leave_out(f"{named(self.member.position + 1)}: it has no usable alert_id")
        else:
            self.member.add(index_keys.of_alert(record), number)


def fetch(iris: Iris, wanted: Wanted) -> Part:
    """Read the alerts and write `alerts.json`.

    Raises:
        jobs.errors.RetryableError: another attempt can help, also if the list changed while it was read.
        jobs.errors.PermanentError: the case is unknown or may not be read, or the answers cannot be used.
    """
    case = iris.case(wanted.ref, iris.scratch())
    reader = Reader(iris, ALERTS, case)
    reader.total()  # shows which route there is
    kept: list[_Kept] = []
    started: list[datetime] = []

    def start() -> _Kept:
        started.append(datetime.now(UTC))
        kept.append(_Kept(RecordsMember(iris.source, iris.client.url(reader.path), wanted)))
        return kept[-1]

    try:
        agreed = reader.agreed(start)
    except SourceFault as fault:
        if not wanted.allow_partial or len(kept) < 1 or not kept[-1].member.position:
            raise
        return kept[-1].member.part(fault)
    member = agreed.kept.member
    if agreed.later:
        member.as_of(started[-1], member.trace.records, agreed.later)
    return member.part()


def offer(iris: Iris, ref: str) -> Offer:
    """Ask for one alert and the total; see `protocol.Adapter`."""
    return Offer(records=Reader(iris, ALERTS, iris.case(ref, iris.scratch())).total())
