"""Reads all alerts of an incident from the Alerts DB, or fails with how the list changed; never silently fewer.

Pages by offset are complete only if the list does not change. If an alert is removed from an earlier page, the first
alert of the next page moves into a page that was already read and is never sent; if another is added at the end, even
the total matches. So a list is accepted by this rule:

- **One response** with all alerts is the list at one moment. A total equal to their number, or an empty page after
  them, shows that it is complete. It is read once.
- **Several pages** are read again, until every alert of one reading is in the next one. If an alert had been missed,
  one before it would have been removed, and the next reading would lack that one. The earlier reading must also be
  orderly: it has as many alerts as the totals say, and an alert is repeated only where a page begins with the end of
  the previous one, as when others were inserted before. For two readings equal in content and order the count is
  enough.

The earlier of the two readings is used. It has every alert that was in the list when the reading began (`fetched_at`),
and some added during the reading; later ones belong to the next bundle. `sha256` is that of all its responses in order.

After `SourceLimits.alert_readings` readings the list is given up as changing. If it does not change but its total
differs, the total is wrong. If a partial bundle is allowed, every alert of every reading is kept, together with the
fault; `fetched_at` is then the start of the first reading, and `sha256` that of the responses of all readings.
"""

from __future__ import annotations

from pathlib import Path

from bundles.format.model.records import ALERT_ORDER, RecordSpool, iter_array, sort_key
from bundles.sources import faults
from bundles.sources.adapters.protocol import Offer
from bundles.sources.adapters.ransomeye.alert_pages import PATH, PageReader, Pass, digest_of
from bundles.sources.client import SourceClient
from bundles.sources.faults import SourceFault
from bundles.sources.trace import Part, Tally, Trace
from jobs.errors import PermanentError, RetryableError

MEMBER = "alerts.json"


def fetch(client: SourceClient, incident_id: str, staging: Path, tally: Tally, *, allow_partial: bool) -> Part:
    """Read the list by the rule of this module and write `alerts.json` into `staging`.

    Args:
        client: of the Alerts DB.
        incident_id: the incident.
        staging: for the member and scratch files.
        tally: counts the alerts.
        allow_partial: if one reading was completed, return what was read, with the fault.

    Raises:
        jobs.errors.RetryableError: another attempt can help, also if the list changed while it was read.
        jobs.errors.PermanentError: the responses are not pages of this incident's alerts.
    """
    reading = _Readings(client, incident_id, staging, tally, keep_all=allow_partial)
    try:
        return reading.agreed()
    except SourceFault as fault:
        if not allow_partial or reading.ended == 0:
            raise
        return reading.everything(fault)


def offer(client: SourceClient, incident_id: str) -> Offer:
    """Ask for one alert and the total; see `protocol.Adapter`."""
    query = {"correlation_id": incident_id, "limit": 1, "offset": 0}
    total: int | None = None
    trace = Trace(client.source, client.url(PATH), Tally(lambda _: None, lambda: None))
    with client.document("POST", PATH, max_bytes=client.limits.page_bytes, trace=trace, json=query) as document:
        for key in document.members():
            value = document.value(client.limits.record_bytes)
            if key in {"total", "total_count"} and isinstance(value, int) and not isinstance(value, bool):
                total = value
        document.end()
    return Offer(records=total, detail="" if total is not None else "It does not say how many alerts there are.")


class _Readings:
    """The readings of one list."""

    def __init__(self, client: SourceClient, incident_id: str, staging: Path, tally: Tally, *, keep_all: bool) -> None:
        self._client = client
        self._incident_id = incident_id
        self._staging = staging
        self._tally = tally
        self._whole = Trace(client.source, client.url(PATH), tally)
        self._all = RecordSpool(staging) if keep_all else None
        self._seen: dict[bytes, int] = {}
        self.ended = 0

    def agreed(self) -> Part:
        """Read until a reading is accepted, and return it.

        Raises:
            jobs.errors.RetryableError, jobs.errors.PermanentError: see `fetch`.
        """
        previous, part = self._read()
        if previous.answers <= 1 and previous.ended and previous.orderly:
            return self._chosen(part)
        while True:
            current, later = self._read()
            still = current.order == previous.order
            if still and previous.counted:
                return self._chosen(self._with_repeats(part, previous) if previous.last_total is not None else part)
            if previous.orderly and current.in_previous == previous.distinct:
                return self._chosen(part)
            if still and previous.one_total is not None and previous.one_total == current.one_total:
                raise faults.invalid(self._client.source, _miscounted(current))
            if current.number >= self._client.limits.alert_readings:
                raise faults.unavailable(self._client.source, _changing(previous, current))
            part.member.unlink()
            previous, part = current, later

    def everything(self, fault: RetryableError | PermanentError) -> Part:
        """Every alert of all readings, with the fault that kept the list from being accepted."""
        if self._all is None:
            raise fault
        member = self._staging / MEMBER
        self._whole.records = self._all.count
        self._all.write_array(member)
        return Part(member, self._whole.provenance(), self._whole.records, fault)

    def _read(self) -> tuple[Pass, Part]:
        """Read the list once more."""
        found = Pass(self.ended + 1)
        trace = Trace(self._client.source, self._client.url(PATH), self._tally, within=self._whole)
        spool = RecordSpool(self._staging)

        def keep(key: tuple[str, str], line: bytes, identity: bytes) -> None:
            spool.add(key, line)
            known = identity in self._seen
            trace.record(again=known)
            if self._all is not None and not known:
                self._all.add(key, line)

        PageReader(self._client, self._incident_id, trace=trace, found=found, seen=self._seen, keep=keep).read()
        member = self._staging / f"{MEMBER}.{found.number}"
        spool.write_array(member)
        self.ended = found.number
        return found, Part(member, trace.provenance(), trace.records)

    def _chosen(self, part: Part) -> Part:
        """The part, renamed to the member's name; removes the files of other readings."""
        member = part.member.rename(self._staging / MEMBER)
        for other in self._staging.glob(f"{MEMBER}.*"):
            other.unlink()
        return Part(member, part.provenance, part.count)

    def _with_repeats(self, part: Part, found: Pass) -> Part:
        """The part with every copy of equal alerts on different pages, as the total counts them."""
        if not found.repeats:
            return part
        spool = RecordSpool(self._staging)
        left = found.repeats.copy()
        for record, line in iter_array(part.member):
            for _ in range(1 + left.pop(digest_of(line), 0)):
                spool.add(sort_key(record, ALERT_ORDER), line)
        member = self._staging / f"{MEMBER}.counted"
        spool.write_array(member)
        return Part(member, {**part.provenance, "record_count": spool.count}, spool.count)


def _miscounted(found: Pass) -> str:
    return f"it sent {found.slots} alerts, and its total says {found.first_total}."


def _changing(previous: Pass, current: Pass) -> str:
    """How the list changed from one reading to the next, in numbers."""
    left, came = previous.distinct - current.in_previous, current.distinct - current.in_previous
    what = f"its list of alerts changed while it was read, {current.number} times in a row; of the last two readings, "
    what += f"the first had {left} alerts that the second had not, and the second {came} that the first had not"
    if current.strays:
        what += f"; {current.strays} came on more than one page"
    if not current.counted:
        what += (
            f"; {current.slots} came in all, where the total went from {current.first_total} to {current.last_total}"
        )
    return what + "."
