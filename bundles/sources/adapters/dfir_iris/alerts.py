"""Reads the alerts that are linked to a case, complete or not at all.

IRIS orders alerts by the time of their event alone, so pages of a list in which several have the same time can repeat
some and leave out others though nothing changed. So the ids are read first, in one answer if IRIS allows it, and then
the alerts by their ids. The list of ids is the state at one moment: alerts that are linked later belong to the next
bundle, and one that is gone when it is asked for is a change worth another attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bundles.sources import faults
from bundles.sources.adapters.dfir_iris import index_keys
from bundles.sources.adapters.dfir_iris.pages import ALERTS, Reader
from bundles.sources.adapters.dfir_iris.wire import Case, Iris, unusable
from bundles.sources.adapters.protocol import Offer, Wanted
from bundles.sources.jsonstream import Refused
from bundles.sources.members import RecordsMember, named
from bundles.sources.trace import Part, Trace

# A request's line is limited to 4,094 bytes by IRIS's own web server; a comma takes three.
MOST_CHARACTERS = 2500
NO_ID = "it has no alert_id that is a whole number"
NAMED = 10  # alerts in one error


class _Ids:
    """The ids of one reading; see `pages.Sink`."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.found: Counter[int] = Counter()
        self.unusable: list[str] = []
        self._position = 0

    def take(self, record: Any) -> None:
        self._position += 1
        number = record.get("alert_id") if isinstance(record, dict) else None
        if not isinstance(record, dict):
            self.unusable.append(f"list of alerts, {unusable(record, self._position)}")
        elif isinstance(number, bool) or not isinstance(number, int):
            self.unusable.append(f"list of alerts, record {self._position}: {NO_ID}")
        else:
            self.found[number] += 1


def fetch(iris: Iris, wanted: Wanted) -> Part:
    """Read the alerts and write `alerts.json`.

    Raises:
        jobs.errors.RetryableError: another attempt can help, also if an alert was removed meanwhile.
        jobs.errors.PermanentError: the case is unknown or may not be read, or the answers cannot be used.
    """
    case = iris.case(wanted.ref, iris.scratch())
    at = datetime.now(UTC)
    reader = Reader(iris, ALERTS, case, size=iris.limits.alerts, fields="alert_id")
    ids = reader.agreed(lambda: _Ids(iris.scratch())).kept
    with RecordsMember(iris.source, iris.client.url(reader.path), wanted) as member:
        for one in ids.unusable:
            member.leave_out(one)
        gone: list[int] = []
        for batch in _batches(ids.found, iris.limits.page_records):
            gone += _read(iris, case, member, batch, older=reader.older)
        if gone and not wanted.allow_partial:
            what = ", ".join(map(str, gone[:NAMED])) + (f" and {len(gone) - NAMED} more" if len(gone) > NAMED else "")
            raise faults.unavailable(iris.source, f"alerts that it had listed were gone when they were read: {what}.")
        for number in gone:
            member.gap(f"alert {number} was gone when it was read.")
        later = reader.total() - ids.found.total()
        if later > 0:
            member.as_of(at, ids.found.total(), later)
        return member.part()


def offer(iris: Iris, ref: str) -> Offer:
    """Ask for one alert and the total; see `protocol.Adapter`."""
    return Offer(records=Reader(iris, ALERTS, iris.case(ref, iris.scratch())).total())


def _batches(ids: Counter[int], most: int) -> Iterator[Counter[int]]:
    """The ids in groups of at most so many that fit into one request."""
    batch: Counter[int] = Counter()
    characters = 0
    for number, copies in ids.items():
        size = len(f"{number}%2C")
        if batch and (len(batch) >= most or characters + size > MOST_CHARACTERS):
            yield batch
            batch, characters = Counter(), 0
        batch[number] = copies
        characters += size
    if batch:
        yield batch


def _read(iris: Iris, case: Case, member: RecordsMember, asked: Counter[int], *, older: bool) -> list[int]:
    """Add the alerts of these ids; returns those that are not there any more."""
    left = asked.copy()

    def take(record: Any) -> None:
        number = record.get("alert_id") if isinstance(record, dict) else None
        if isinstance(record, Refused) and isinstance(record.record_id, int) and left[record.record_id] > 0:
            left[record.record_id] -= 1
        if not isinstance(record, dict):
            member.leave_out(unusable(record, member.position + 1))
        elif isinstance(number, bool) or not isinstance(number, int):
            member.leave_out(f"{named(member.position + 1)}: {NO_ID}")
        elif number not in asked:
            raise faults.invalid(iris.source, f"it sent alert {number}, which was not asked for.")
        elif left[number] > 0:
            left[number] -= 1
            member.add(index_keys.of_alert(record), number)

    while True:
        before = left.total()
        numbers = ",".join(str(number) for number, copies in left.items() if copies > 0)
        # A server with smaller pages sends several, which may lack some; those are asked for again.
        Reader(iris, ALERTS, case, older=older, size=asked.total(), alert_ids=numbers).once(take, member.trace)
        if not left.total() or left.total() == before:
            return sorted(left.elements())
