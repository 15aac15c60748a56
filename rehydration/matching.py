"""Decides which records of a bundle are new, equal to a stored one, or in conflict with one of the same id.

Ids are what a source says: they may occur twice, be of any JSON type, or be absent. So records of one id are compared
as a group. A record of the bundle is *equal* when the database holds an equal one that no record of the bundle before
it was matched with. Any other is *in conflict* when the database holds a record of this id that the bundle does not,
and *new* otherwise. Whatever is new gets the next free occurrence of its id, so no record displaces another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from django.db.models import F, Func, QuerySet, TextField

from rehydration.records import Key

NEW, EQUAL, CONFLICT = "new", "equal", "conflict"


class Keyed(Protocol):
    """A record of the bundle with the id that it goes by."""

    @property
    def key(self) -> Key:
        """Its id."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the record."""
        ...


R = TypeVar("R", bound=Keyed)


@dataclass(frozen=True)
class Stored:
    """A record in the database: its digest, its occurrence, and the columns that were asked for beside."""

    digest: str
    occurrence: int
    columns: tuple[Any, ...]


@dataclass(frozen=True)
class Match(Generic[R]):
    """The verdict on one record.

    Attributes:
        row: the record of the bundle.
        verdict: new, equal or conflict.
        stored: the equal record, or the first that it conflicts with; None for a new one.
        occurrence: under which a new record is added.
    """

    row: R
    verdict: str
    stored: Stored | None = None
    occurrence: int = 0


@dataclass
class _Group:
    """The records of one id: what the database holds and no record of the bundle was matched with yet."""

    left: dict[str, list[Stored]] = field(default_factory=dict)
    next_occurrence: int = 0
    against: Stored | None = None

    def add(self, stored: Stored) -> None:
        self.left.setdefault(stored.digest, []).append(stored)
        self.next_occurrence = max(self.next_occurrence, stored.occurrence + 1)

    def find_conflict(self, brought: Mapping[str, int]) -> None:
        """Find the first stored record that equals none of the bundle; `brought` counts those by digest."""
        spare = (stored for digest, held in self.left.items() for stored in held[brought.get(digest, 0) :])
        self.against = min(spare, key=lambda stored: stored.occurrence, default=None)

    def judge(self, row: R) -> Match[R]:
        if held := self.left.get(row.digest):
            return Match(row, EQUAL, held.pop())
        if self.against is not None:
            return Match(row, CONFLICT, self.against)
        self.next_occurrence += 1
        return Match(row, NEW, occurrence=self.next_occurrence - 1)


class Matcher:
    """Judges the records of one array of a bundle, in its order.

    Memory holds one batch, and the ids that occur more than once in the bundle.

    Args:
        rows: the rows of the incident, unordered.
        name: of the column that holds the id.
        repeated: for each id that occurs more than once in the bundle, how often each digest does.
        columns: of a stored row, wanted in `Stored.columns`.
    """

    def __init__(
        self, rows: QuerySet[Any, Any], name: str, repeated: Mapping[Key, Counter[str]], columns: tuple[str, ...] = ()
    ) -> None:
        self._rows = with_digest(rows)
        self._name = name
        self._repeated = repeated
        self._columns = columns
        self._kept: dict[Key, _Group] = {}

    def judge(self, batch: Sequence[R]) -> list[Match[R]]:
        """Judge the next records."""
        brought = {
            row.key: self._repeated.get(row.key) or {row.digest: 1} for row in batch if row.key not in self._kept
        }
        groups = {key: _Group() for key in brought}
        names = ("id_type", self._name, "occurrence", "digest", *self._columns)
        ids = [key.text for key in brought]
        stored = self._rows.filter(**{f"{self._name}__in": ids}).order_by("occurrence").values_list(*names)
        for id_type, text, occurrence, digest, *columns in stored:
            group = groups.get(Key(id_type, text))
            if group is not None:  # else the same text as another type of id
                group.add(Stored(digest, occurrence, tuple(columns)))
        for key, group in groups.items():
            group.find_conflict(brought[key])
            if key in self._repeated:
                self._kept[key] = group
        return [(self._kept.get(row.key) or groups[row.key]).judge(row) for row in batch]


def with_digest(rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """`rows` with the SHA-256 (hex) of each record as `digest`, so that records stay in the database."""
    sha256 = Func(F("record"), template="encode(sha256(convert_to(%(expressions)s, 'UTF8')), 'hex')")
    sha256.output_field = TextField()
    annotated: QuerySet[Any, Any] = rows.annotate(digest=sha256)
    return annotated
