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
- **A list that grows at its end**, as of an incident that still runs, is read up to the total told at the start. If two
  readings begin with the same alerts in the same order, as many as the first total said, those are what the list had
  then.

The earlier of the two readings is used. It has every alert that was in the list when the reading began (`fetched_at`);
later ones belong to the next bundle, and `as_of` states how many are known. `sha256` is that of all its responses in
order. An alert that equals another in every byte is kept once; that, and ids of several alerts, are stated, too.

After `SourceLimits.alert_readings` readings the list is given up as changing. If it does not change but its total
differs, the total is wrong. If a partial bundle is allowed, every alert of every reading is kept, together with the
fault; `fetched_at` is then the start of the first reading, and `sha256` that of the responses of all readings.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path

from bundles.format.model.records import ALERT_ORDER, RecordSpool, iter_array, sort_key
from bundles.sources import faults
from bundles.sources.adapters.protocol import Offer
from bundles.sources.adapters.ransomeye.alert_pages import ID_FIELD, PATH, Kept, PageReader, Pass, id_digest_of
from bundles.sources.client import SourceClient
from bundles.sources.faults import SourceFault
from bundles.sources.jsonstream import Refused
from bundles.sources.refusals import Refusals
from bundles.sources.repeats import NAMED, Repeats
from bundles.sources.trace import Part, Tally, Trace
from jobs.errors import PermanentError, RetryableError

MEMBER = "alerts.json"
NOUN = "alert"


def fetch(client: SourceClient, incident_id: str, staging: Path, tally: Tally, *, allow_partial: bool) -> Part:
    """Read the list by the rule of this module and write `alerts.json` into `staging`.

    Args:
        client: of the Alerts DB.
        incident_id: the incident.
        staging: for the member and scratch files.
        tally: counts the alerts.
        allow_partial: leave out alerts that cannot be used, and name them in the part; if one reading was completed,
            return what was read, with the fault.

    Raises:
        jobs.errors.RetryableError: another attempt can help, also if the list changed while it was read.
        jobs.errors.PermanentError: the responses are not pages of this incident's alerts, or an alert cannot be used
            and a partial bundle is not allowed.
    """
    readings = _Readings(client, incident_id, staging, tally, allow_partial=allow_partial)
    try:
        return readings.agreed()
    except SourceFault as fault:
        if not allow_partial or readings.ended == 0:
            raise
        return readings.everything(fault)


@dataclass
class _Portion:
    """Some alerts of a reading.

    Attributes:
        spool: their lines, until they are written.
        refusals: those that cannot be used.
        member: the file, once it is written.
        ids: a digest of each id, in the order served.
        positions: the position of each, in the same order.
    """

    spool: RecordSpool
    refusals: Refusals
    member: Path
    ids: array[int] = field(default_factory=lambda: array("Q"))
    positions: array[int] = field(default_factory=lambda: array("I"))

    @property
    def count(self) -> int:
        """How many were kept or refused."""
        return len(self.ids) + self.refusals.count

    def keep(self, alert: Kept) -> None:
        """Add an alert."""
        self.spool.add(alert.key, alert.line)
        self.ids.append(alert.id_digest)
        self.positions.append(alert.position)

    def add(self, later: _Portion) -> None:
        """Add the alerts of the portion behind this one; both are written."""
        spool = RecordSpool(self.member.parent)
        for member in (self.member, later.member):
            for record, line in iter_array(member):
                spool.add(sort_key(record, ALERT_ORDER), line)
            member.unlink()
        spool.write_array(self.member)
        self.refusals.extend(later.refusals)
        self.ids.extend(later.ids)
        self.positions.extend(later.positions)


@dataclass
class _Reading:
    """One reading of the list: up to its first total, and what came behind that."""

    found: Pass
    trace: Trace
    told: _Portion
    beyond: _Portion


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

    def __init__(
        self, client: SourceClient, incident_id: str, staging: Path, tally: Tally, *, allow_partial: bool
    ) -> None:
        self._client = client
        self._incident_id = incident_id
        self._staging = staging
        self._tally = tally
        self._allow_partial = allow_partial
        self._whole = Trace(client.source, client.url(PATH), tally)
        self._all = RecordSpool(staging) if allow_partial else None
        self._all_refusals = self._refusals()
        self._seen: dict[bytes, int] = {}
        self._present: _Reading | None = None
        self.ended = 0

    def agreed(self) -> Part:
        """Read until a reading is accepted, and return it.

        Raises:
            jobs.errors.RetryableError, jobs.errors.PermanentError: see `fetch`.
        """
        earlier = self._read(None)
        previous = earlier.found
        if previous.answers <= 1 and previous.ended and previous.orderly:
            return self._chosen(earlier)
        while True:
            later = self._read(previous.first_total)
            current = later.found
            still = current.order == previous.order
            if still and previous.counted:
                return self._chosen(earlier, equal_on_pages=previous.slots - previous.distinct)
            if _begin_the_same(previous, current):
                return self._chosen(earlier, current, up_to=previous.first_total)
            if previous.orderly and current.in_previous == previous.distinct:
                return self._chosen(earlier, current)
            if still and previous.one_total is not None and previous.one_total == current.one_total:
                raise faults.invalid(self._client.source, _miscounted(current))
            if current.number >= self._client.limits.alert_readings:
                raise faults.unavailable(self._client.source, _changing(previous, current))
            for portion in (earlier.told, earlier.beyond):
                portion.member.unlink()
            earlier, previous = later, current

    def everything(self, fault: RetryableError | PermanentError) -> Part:
        """Every alert of all readings, with the fault that kept the list from being accepted."""
        if self._all is None:
            raise fault
        member = self._staging / MEMBER
        self._whole.records = self._all.count
        self._all.write_array(member)
        left_out = self._all_refusals.reasons()
        return Part(member, self._whole.provenance(), self._whole.records, fault, left_out)

    def keep(self, alert: Kept) -> None:
        """See `alert_pages.Keeper`."""
        reading, known = self._now, alert.identity in self._seen
        first_total = reading.found.first_total
        within = first_total is None or alert.position <= first_total
        (reading.told if within else reading.beyond).keep(alert)
        reading.trace.record(again=known)
        if self._all is not None and not known:
            self._all.add(alert.key, alert.line)

    def refuse(self, refused: Refused, identity: bytes, before: int) -> None:
        """See `alert_pages.Keeper`."""
        reading = self._now
        first_total = reading.found.first_total
        within = first_total is None or before + refused.position <= first_total
        (reading.told if within else reading.beyond).refusals.add(refused, before=before)
        if identity not in self._seen:
            self._all_refusals.add(refused, before=before)

    @property
    def _now(self) -> _Reading:
        if self._present is None:
            raise RuntimeError("no reading has begun")
        return self._present

    def _refusals(self) -> Refusals:
        return Refusals(self._client.source, NOUN, allowed=self._allow_partial)

    def _read(self, mark: int | None) -> _Reading:
        """Read the list once more; `mark` is the first total of the previous reading."""
        found = Pass(self.ended + 1, mark=mark)
        trace = Trace(self._client.source, self._client.url(PATH), self._tally, within=self._whole)
        told, beyond = (
            _Portion(RecordSpool(self._staging), self._refusals(), self._staging / f"{MEMBER}.{found.number}{suffix}")
            for suffix in ("", ".beyond")
        )
        self._present = _Reading(found, trace, told, beyond)
        PageReader(self._client, self._incident_id, trace=trace, found=found, seen=self._seen, keeper=self).read()
        for portion in (told, beyond):
            portion.spool.write_array(portion.member)
        self.ended = found.number
        return self._present

    def _chosen(
        self, reading: _Reading, later: Pass | None = None, *, up_to: int | None = None, equal_on_pages: int = 0
    ) -> Part:
        """The part made of a reading; removes the files of other readings.

        Args:
            reading: the reading.
            later: the next one, if the list may have grown.
            up_to: keep only so many alerts from the beginning of the list.
            equal_on_pages: how many alerts equal one on an earlier page.
        """
        portion = reading.told
        if up_to is None and reading.beyond.count:
            portion.add(reading.beyond)
        repeats = Repeats(NOUN)
        repeats.equal = reading.found.copies + equal_on_pages
        _find_repeated_ids(portion, repeats)
        provenance = {**reading.trace.provenance(), "record_count": len(portion.ids), **repeats.stated()}
        records = reading.found.distinct if up_to is None else up_to
        if later is not None and later.length > records:
            as_of = {"at": provenance["fetched_at"], "records": records, "later": later.length - records}
            provenance["as_of"] = as_of
        member = portion.member.rename(self._staging / MEMBER)
        for other in self._staging.glob(f"{MEMBER}.*"):
            other.unlink()
        return Part(member, provenance, len(portion.ids), left_out=portion.refusals.reasons())


def _begin_the_same(previous: Pass, current: Pass) -> bool:
    """Whether the list has only grown at its end: as many alerts as its first total said are the same in both."""
    first = previous.first_total
    if first is None or not previous.has_grown:
        return False
    return previous.order_at.get(first) is not None and previous.order_at[first] == current.order_at.get(first)


def _find_repeated_ids(portion: _Portion, repeats: Repeats) -> None:
    """Note the ids of several alerts; if there are any, the file is read again for the ids' texts."""
    twice = {one for one, other in pairwise(sorted(portion.ids)) if one == other}
    if not twice:
        return
    positions: dict[int, list[int]] = {}
    for number, position in zip(portion.ids, portion.positions, strict=True):
        if number in twice:
            positions.setdefault(number, []).append(position)
    named = dict(islice(positions.items(), NAMED))
    repeats.unnamed_ids = len(positions) - len(named)
    texts: dict[int, str | int] = {}
    for record, _ in iter_array(portion.member):
        if (number := id_digest_of(record[ID_FIELD])) in named:
            texts[number] = record[ID_FIELD]
    for number, (first, *others) in named.items():
        for position in others:
            repeats.add_same_id(texts[number], first, position)


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
