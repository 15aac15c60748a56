"""Splits rows into batches: large enough for the database, bounded in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

BATCH_ROWS = 1000
BATCH_CHARS = 4 * 1024 * 1024


class HasRecord(Protocol):
    """A row with its canonical record."""

    @property
    def record(self) -> str:
        """The record."""
        ...


R = TypeVar("R", bound=HasRecord)


def batches(rows: Iterable[R]) -> Iterator[list[R]]:
    """`rows` in order, in lists of at most 1,000 rows and about 4 MiB of records."""
    held: list[R] = []
    chars = 0
    for row in rows:
        held.append(row)
        chars += len(row.record)
        if len(held) >= BATCH_ROWS or chars >= BATCH_CHARS:
            yield held
            held, chars = [], 0
    if held:
        yield held
