"""Reads a list of IRIS to its end: in one answer, or page by page until it is known to be complete.

The rule is that of `adapters/ransomeye/alerts.py`: pages are complete only if the list did not change between them.
Here each record has a key of the database and each page a total, so keys are compared instead of bytes. After a
reading of several pages the list is read once more. The reading is accepted if it has as many records as the totals
say and all of them are still in the list. Then none was removed meanwhile, so none moved into a page that had been
read; those that came meanwhile are counted. Otherwise it is read again, `SourceLimits.alert_readings` times in all.

The end is where `next_page` is null, not where a page is short: a server may limit the size of its pages.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from bundles.format.model.canonical import canonical_json
from bundles.sources import faults
from bundles.sources.adapters.dfir_iris.wire import ASK_OLDER, Case, Iris, Take
from bundles.sources.faults import StatusRefusedError
from bundles.sources.jsonstream import Refused
from bundles.sources.trace import Trace

MOST_PAGES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A list and where each generation of IRIS has it.

    Attributes:
        what: in messages.
        v2: route of v2, with `{case}`; paged.
        older: the older route, which has all records in one answer unless `older_paged`.
        key: the list's name in the older answer.
        identity: the fields of the record's key in the database, v2's first.
        order: parameters that make the order of v2's pages the same each time.
        by_case: the parameter that names the case to the older route.
        older_paged: whether the older route has pages, too, and takes `order`.
    """

    what: str
    v2: str
    older: str
    key: str
    identity: tuple[str, ...]
    order: dict[str, Any] = field(default_factory=dict)
    by_case: str = "cid"
    older_paged: bool = False


def _by(name: str) -> dict[str, Any]:
    return {"order_by": name, "sort_dir": "asc"}


ASSETS = Listing(
    what="assets",
    v2="/api/v2/cases/{case}/assets",
    older="/case/assets/list",
    key="assets",
    identity=("asset_id",),
    order=_by("asset_id"),
)
IOCS = Listing(
    what="IOCs",
    v2="/api/v2/cases/{case}/iocs",
    older="/case/ioc/list",
    key="ioc",
    identity=("ioc_id",),
    order=_by("ioc_id"),
)
TASKS = Listing(
    what="tasks",
    v2="/api/v2/cases/{case}/tasks",
    older="/case/tasks/list",
    key="tasks",
    identity=("id", "task_id"),
    order=_by("id"),
)
NOTE_DIRECTORIES = Listing(
    what="directories of notes",
    v2="/api/v2/cases/{case}/notes-directories",
    older="/case/notes/directories/filter",
    key="data",
    identity=("id",),
    order=_by("id"),
)
EVIDENCES = Listing(
    what="evidence records",
    v2="/api/v2/cases/{case}/evidences",
    older="/case/evidences/list",
    key="evidences",
    identity=("id",),
    order=_by("id"),
)
FILES = Listing(  # there is no older route; it came with IRIS 3.0
    what="files",
    v2="/api/v2/cases/{case}/datastore/files",
    older="",
    key="",
    identity=("file_id",),
    order=_by("file_id"),
)
ALERTS = Listing(
    what="alerts",
    v2="/api/v2/alerts",
    older="/alerts/filter",
    key="alerts",
    identity=("alert_id",),
    order={"sort": "asc"},
    by_case="case_id",
    older_paged=True,
)


class Sink(Protocol):
    """Receives the records of one reading."""

    def take(self, record: Any) -> object:
        """Keep one record."""
        ...

    @property
    def trace(self) -> Trace:
        """Receives the bytes of the reading."""
        ...


@dataclass
class Reading:
    """One reading of a list.

    Attributes:
        ids: of the different records.
        slots: records in all pages; those seen twice count twice.
        pages: answers.
        first_total: the total in the first page; None if it had none.
        last_total: the total in the last page.
    """

    ids: set[Hashable] = field(default_factory=set)
    slots: int = 0
    pages: int = 0
    first_total: int | None = None
    last_total: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it has as many records as the totals say."""
        return self.last_total in {None, self.slots} and len(self.ids) >= (self.first_total or 0)


Kept = TypeVar("Kept", bound=Sink)


@dataclass(frozen=True)
class Agreed(Generic[Kept]):
    """A complete reading.

    Attributes:
        kept: the sink that has it.
        reading: what was observed.
        later: records that came to the list while it was read.
    """

    kept: Kept
    reading: Reading
    later: int = 0


class Reader:
    """Reads one list of a case.

    Args:
        iris: asked.
        listing: the list.
        case: whose list.
        older: ask only the older route.
        size: records asked for at a time; `SourceLimits.page_records` by default.
        params: further parameters.

    Attributes:
        older: whether the older route is asked; true once v2 was found not to have the list.
    """

    def __init__(
        self, iris: Iris, listing: Listing, case: Case, *, older: bool = False, size: int = 0, **params: Any
    ) -> None:
        self._iris = iris
        self._listing = listing
        self._case = case
        self._size = size or iris.limits.page_records
        self._params = params
        self.older = older

    @property
    def path(self) -> str:
        """Of the route that is asked, with the case; once it was asked, of the one that answered."""
        named = "" if self._names_case else f"?{self._listing.by_case}={self._case.number}"
        return self._route + named

    def agreed(self, start: Callable[[], Kept]) -> Agreed[Kept]:
        """Read until a reading is accepted.

        Args:
            start: makes the sink of one reading.

        Raises:
            jobs.errors.RetryableError: the list changed each time.
            jobs.errors.PermanentError: it is not a list, or its total is wrong.
        """
        totals: set[int | None] = set()
        reading = Reading()
        for _ in range(self._iris.limits.alert_readings):
            kept = start()
            reading = self.once(kept.take, kept.trace)
            if reading.pages == 1 and reading.whole:
                return Agreed(kept, reading)
            again = self.once(lambda _: None, self._iris.scratch())
            if reading.whole and reading.ids <= again.ids:
                return Agreed(kept, reading, len(again.ids) - len(reading.ids))
            totals |= {reading.first_total, reading.last_total, again.first_total, again.last_total}
            if reading.ids == again.ids and len(totals) == 1:
                break
        if len(totals) == 1 and reading.last_total != reading.slots:
            what = f"its list has {len(reading.ids)} {self._listing.what}, and its total says {reading.last_total}."
            raise faults.invalid(self._iris.source, what)
        what = f"its list of {self._listing.what} changed each time it was read; the last reading had "
        what += f"{len(reading.ids)} where the total went from {reading.first_total} to {reading.last_total}."
        raise faults.unavailable(self._iris.source, what)

    def total(self) -> int:
        """How many records the list has, asked with one record."""
        count: Counter[str] = Counter()
        facts = self._ask(1, 1, lambda _: count.update(["records"]), self._iris.scratch())
        return count["records"] if facts.total is None else facts.total

    def once(self, take: Take, trace: Trace) -> Reading:
        """Read the list to its end, once."""
        reading, size, most = Reading(), self._size, self._iris.limits.alerts
        while reading.pages < MOST_PAGES:
            copies: Counter[Hashable] = Counter()
            before = reading.slots

            def keep(record: Any, copies: Counter[Hashable] = copies) -> None:
                identity = self._identity(record)
                copies[identity] += 1
                reading.slots += 1
                mark: Hashable = identity if copies[identity] == 1 else (identity, copies[identity])
                if mark not in reading.ids:
                    reading.ids.add(mark)
                    take(record)

            facts = self._ask(reading.pages + 1, size, keep, trace)
            if reading.pages == 0:
                reading.first_total = facts.total
            reading.pages, reading.last_total = reading.pages + 1, facts.total
            if reading.slots > most:
                raise faults.invalid(self._iris.source, f"it sends more than {most} {self._listing.what}.")
            if not facts.more or reading.slots == before:
                break
        return reading

    @property
    def _names_case(self) -> bool:
        return not self.older and "{case}" in self._listing.v2

    @property
    def _route(self) -> str:
        return self._listing.older if self.older else self._listing.v2.format(case=self._case.number)

    def _ask(self, page: int, size: int, take: Take, trace: Trace) -> Any:
        """Ask for one page, of the older route if v2 does not have the list."""
        if not self.older:
            try:
                return self._page(page, size, take, trace)
            except StatusRefusedError as refused:
                if refused.http_code not in ASK_OLDER or page > 1:
                    raise
                self.older = True
        return self._page(page, size, take, trace)

    def _page(self, page: int, size: int, take: Take, trace: Trace) -> Any:
        listing, limits = self._listing, self._iris.limits
        params = dict(self._params)
        if not self._names_case:
            params[listing.by_case] = self._case.number
        if not self.older or listing.older_paged:
            params |= {"page": page, "per_page": size, **listing.order}
        key = listing.key if self.older else "data"
        return self._iris.records(self._route, trace, key, take, max_bytes=limits.page_bytes, **params)

    def _identity(self, record: Any) -> Hashable:
        if isinstance(record, dict):
            for name in self._listing.identity:
                value = record.get(name)
                if isinstance(value, int | str):
                    return value
        if isinstance(record, Refused):
            return record.digest
        return hashlib.blake2b(canonical_json(record), digest_size=16).digest()
