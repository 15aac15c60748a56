"""Reads the list of alerts once, page by page to its end. `alerts` decides whether a reading is complete.

The list ends at an empty page, or at a short one if the total says that nothing follows. Without a total, the page
after a short one is requested too, since a service may send fewer alerts than requested. There are three cases:

- It has nothing new, or is the same page again, from a service without offsets: the list has ended.
- It has more alerts, and the short page, requested again, is unchanged: the service limits its page size.
- It has more alerts, and the short page, requested again, has grown: the list ended there and has grown since. It is
  not followed further, as that might never end; the next reading shows whether anything was lost.

A list whose total rises while it is read belongs to an incident that still runs. It is read up to the total of its
first page at least, and no further than a page that reaches it, so it need not be caught up with.

Alerts are compared by their bytes, not by their ids: two with the same id are two. Equal ones are kept once; those on
one page count as two places of the list, those on two pages as one alert seen twice, for example because another was
inserted before it. An alert that cannot be used has its place in the list, too.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from bundles.format.model.records import ALERT_ORDER, canonical_record, sort_key
from bundles.sources import faults
from bundles.sources.client import SourceClient
from bundles.sources.jsonfault import shown
from bundles.sources.jsonstream import JsonStream, MalformedError, Refused
from bundles.sources.record_ids import ID_RULE, usable_id
from bundles.sources.trace import Trace

PATH = "/query/alerts"
ID_FIELD = "id"
DIGEST_BYTES = 16
COPY_BYTES = 4


class Kept(NamedTuple):
    """An alert that is new in a reading.

    Attributes:
        key: its sort key.
        line: its canonical form.
        identity: by which readings are compared.
        position: its place in the list, from 1.
        id_digest: of its id, see `id_digest_of`.
    """

    key: tuple[str, str]
    line: bytes
    identity: bytes
    position: int
    id_digest: int


class Keeper(Protocol):
    """Receives what is new in a reading."""

    def keep(self, alert: Kept) -> None:
        """An alert."""

    def refuse(self, refused: Refused, identity: bytes, before: int) -> None:
        """An alert that cannot be used, on the page that begins behind `before` alerts."""


@dataclass
class Pass:
    """The observations of one reading of the list.

    Attributes:
        number: 1 for the first reading.
        slots: alerts in its pages; those seen twice count twice.
        distinct: different alerts.
        in_previous: how many of the different alerts the previous reading had, too.
        answers: pages with a new alert.
        ended: whether an empty page or the total showed the end.
        overtaken: whether it ended at its first total, though the list had become longer than what was read.
        echoed: whether the same page, sent twice, was taken for the end, as by a service without offsets.
        first_total: the total in the first page that had one; None if none had.
        last_total: the total in the last page.
        strays: alerts seen twice, except where a page begins with the end of the previous one.
        copies: alerts that equal an earlier one on the same page.
        mark: the first total of the previous reading.
        order_at: digest of the order of the first N alerts, for N the first total and the mark.
    """

    number: int
    slots: int = 0
    distinct: int = 0
    in_previous: int = 0
    answers: int = 0
    ended: bool = False
    echoed: bool = False
    first_total: int | None = None
    last_total: int | None = None
    strays: int = 0
    overtaken: bool = False
    copies: int = 0
    mark: int | None = None
    order_at: dict[int, str] = field(default_factory=dict)
    _order: Any = field(default_factory=hashlib.sha256)

    @property
    def order(self) -> str:
        """A digest of all alerts in the order served."""
        return str(self._order.hexdigest())

    @property
    def counted(self) -> bool:
        """Whether the pages have as many alerts as the last total, if any, and no fewer than the first."""
        return self.last_total in {None, self.slots} and self.slots >= (self.first_total or 0)

    @property
    def reached_first_total(self) -> bool:
        """Whether the pages so far have as many alerts as the first total.

        Where pages overlap, alerts were inserted before them, and as many are still to come; they are waited for up to
        twice the first total.
        """
        if self.first_total is None:
            return False
        return self.slots >= self.first_total * (1 if self.slots == self.distinct else 2)

    @property
    def has_grown(self) -> bool:
        """Whether the total rose, and the pages are as many as it says or were left at the first total."""
        rose = self.first_total is not None and self.last_total is not None and self.last_total > self.first_total
        return rose and (self.counted or self.overtaken)

    @property
    def length(self) -> int:
        """How many alerts the list has at the end of the reading, as far as is known."""
        return max(self.distinct, self.last_total or 0)

    @property
    def one_total(self) -> int | None:
        """The total if it did not change; None if there was none or it changed."""
        return self.first_total if self.last_total in {None, self.first_total} else None

    @property
    def orderly(self) -> bool:
        """Whether alerts moved only because others were inserted before them, and none is missing from the total."""
        return self.counted and not self.strays and not self.echoed and self.distinct >= (self.first_total or 0)

    def add(self, page: list[bytes], before: list[bytes], seen: dict[bytes, int]) -> bool:
        """Record one page; returns whether it had a new alert.

        Args:
            page: the identities of its alerts.
            before: those of the previous page.
            seen: identity → the last reading that had it; updated.
        """
        again = [seen.get(identity) == self.number for identity in page]
        overlap = again.index(False) if False in again else len(page)
        explained = overlap if overlap and before[-overlap:] == page[:overlap] else 0
        self.strays += sum(again[explained:])
        marks = {self.first_total, self.mark}
        for identity, repeated in zip(page, again, strict=True):
            self._order.update(identity)
            self.slots += 1
            if self.slots in marks:
                self.order_at[self.slots] = self.order
            if repeated:
                continue
            self.distinct += 1
            self.in_previous += seen.get(identity, 0) == self.number - 1 > 0
            seen[identity] = self.number
        self.answers += not all(again)
        return not all(again)


class PageReader:
    """Reads the list once.

    Args:
        client: of the Alerts DB.
        incident_id: whose alerts.
        trace: receives the bytes read.
        found: receives the observations.
        seen: identity → the last reading that had it, shared by all readings.
        keeper: receives every alert that is new in this reading.
    """

    def __init__(
        self,
        client: SourceClient,
        incident_id: str,
        *,
        trace: Trace,
        found: Pass,
        seen: dict[bytes, int],
        keeper: Keeper,
    ) -> None:
        self._client = client
        self._incident_id = incident_id
        self._trace = trace
        self._found = found
        self._seen = seen
        self._keeper = keeper
        self._full = client.limits.page_records

    def read(self) -> None:
        """Read to the end.

        Raises:
            jobs.errors.RetryableError: another try can help.
            jobs.errors.PermanentError: the answers are not pages of this incident's alerts.
        """
        found = self._found
        before: list[bytes] = []
        short: int | None = None  # offset of the previous page, if it was a short one
        longest = 0
        while True:
            offset = found.slots
            page, total = self._ask(offset)
            self._bound(page, offset, total)
            if page and page == before:
                self._confirm_echo(page, total)
                return
            new = found.add(page, before, self._seen)
            if len(self._seen) > self._client.limits.alerts or found.slots > self._client.limits.alerts:
                raise self._invalid(f"it sends more than {self._client.limits.alerts} alerts.")
            if short is not None and new:
                if self._has_grown(short, before):
                    return
                self._full = len(before)
            longest = max(longest, len(page))
            if len(page) == longest and found.slots < (total or 0) and found.reached_first_total:
                found.ended = found.overtaken = True
                return
            if len(page) < self._full:
                found.ended = not page or (total is not None and found.slots >= total)
                if found.ended or not new:
                    return
            short = offset if len(page) < self._full and total is None else None
            before = page

    def _bound(self, page: list[bytes], offset: int, total: int | None) -> None:
        """Refuse a page longer than requested, unless the total says that it has all alerts."""
        limit = self._client.limits.page_records
        # A service without offsets sends the same page again for the next request.
        holds_all = total == len(page) and offset in {0, len(page)}
        if len(page) > limit and not holds_all:
            raise self._invalid(f"it sent {len(page)} alerts in a page of {limit}.")

    def _confirm_echo(self, page: list[bytes], total: int | None) -> None:
        """Accept the same page twice as the end of the list, unless it is a full page."""
        self._found.ended = total == self._found.slots
        self._found.echoed = not self._found.ended
        if self._found.echoed and len(page) >= self._full:
            raise self._invalid("it sends the same alerts again and again.")

    def _has_grown(self, offset: int, page: list[bytes]) -> bool:
        """Whether the page at `offset` now begins with what it was and has more alerts."""
        again, _ = self._ask(offset, keep=False)
        return len(again) > len(page) and again[: len(page)] == page

    def _ask(self, offset: int, *, keep: bool = True) -> tuple[list[bytes], int | None]:
        """Request the page at `offset`; returns the identities of its alerts in order, and the total."""
        limits = self._client.limits
        query = {"correlation_id": self._incident_id, "limit": limits.page_records, "offset": offset}
        page: list[bytes] | None = None
        total: int | None = None
        with self._client.document(
            "POST", PATH, max_bytes=limits.page_bytes, trace=self._trace, json=query
        ) as document:
            for key in document.members():
                if key == "alerts":
                    copies: Counter[bytes] = Counter()
                    page = [
                        self._take(alert, document, copies, keep=keep)
                        for alert in document.records(limits.record_bytes, ids=(ID_FIELD,))
                    ]
                elif key in {"total", "total_count"}:
                    total = self._total(document.value(limits.record_bytes), total)
                else:
                    document.value(limits.record_bytes)
            document.end()
            if page is None:
                raise MalformedError("it has no list of alerts")
        if total is not None:
            self._found.first_total = total if self._found.first_total is None else self._found.first_total
        self._found.last_total = total
        return page, total

    def _total(self, value: object, other: int | None) -> int | None:
        """The total, None if it is null; a page may have it under two names if they agree."""
        if value is None:
            return other
        if isinstance(value, bool) or not isinstance(value, int):
            raise MalformedError("its total is neither a whole number nor null")
        if other not in {None, value}:
            raise MalformedError("its total and its total_count differ")
        return value

    def _take(self, alert: Any, document: JsonStream, copies: Counter[bytes], *, keep: bool) -> bytes:
        """Check an alert, keep it if it is new in this reading, and return its identity.

        The identity is the digest of its line and the number of equal alerts before it on its page.
        """
        refused = alert if isinstance(alert, Refused) else self._fault_of(alert, document)
        if refused is None:
            line = canonical_record(alert)
            digest = digest_of(line)
        else:
            digest = refused.digest
        copy = copies[digest]
        copies[digest] += 1
        identity = digest + copy.to_bytes(COPY_BYTES, "big")
        if not keep or self._seen.get(identity) == self._found.number:
            return identity
        if refused is not None:
            self._keeper.refuse(refused, identity, self._found.slots)
        elif copy:
            self._found.copies += 1
        else:
            position = self._found.slots + document.position
            id_digest = id_digest_of(alert[ID_FIELD])
            self._keeper.keep(Kept(sort_key(alert, ALERT_ORDER), line, identity, position, id_digest))
        return identity

    def _fault_of(self, alert: Any, document: JsonStream) -> Refused | None:
        """The alert as one that is refused; None if it can be used."""
        if not isinstance(alert, dict):
            return document.refused(alert, "it is not an object")
        alert_id = alert.get(ID_FIELD)
        if not usable_id(alert_id):
            return document.refused(alert, ID_RULE, field=ID_FIELD)
        if alert.get("correlation_id") not in (None, self._incident_id):
            reason = f"it belongs to another incident than {shown(self._incident_id)}"
            return document.refused(alert, reason, field="correlation_id", record_id=alert_id)
        return None

    def _invalid(self, what: str) -> Exception:
        return faults.invalid(self._client.source, what)


def digest_of(line: bytes) -> bytes:
    """The digest that identifies an alert's canonical line."""
    return hashlib.blake2b(line, digest_size=DIGEST_BYTES).digest()


def id_digest_of(alert_id: str | int) -> int:
    """A number of 64 bits for an id, the same within this process, to find ids that occur twice in little memory."""
    text = alert_id if isinstance(alert_id, str) else f"\0{alert_id}"  # no text that is an id has a control character
    return hash(text) & 0xFFFF_FFFF_FFFF_FFFF
