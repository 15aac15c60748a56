"""What is said in the manifest of records that came twice, and of different records with one id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bundles.sources.jsonfault import shown

NAMED = 20


class Repeats:
    """Collects what is to be said of one source.

    Args:
        noun: what a record is, such as `alert`.

    Attributes:
        equal: how many records were equal to an earlier one and left out for that.
        unnamed_ids: how many ids of different records are counted only.
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._equal_at: list[int] = []
        self._positions: dict[str | int, list[int]] = {}
        self.equal = 0
        self.unnamed_ids = 0

    def add_equal(self, position: int = 0) -> None:
        """Note a record that equals an earlier one in every byte; 0 for a position that is not known."""
        self.equal += 1
        if position and len(self._equal_at) < NAMED:
            self._equal_at.append(position)

    def add_same_id(self, record_id: str | int, first: int, position: int) -> None:
        """Note a record with the id of a different one; both are kept.

        Args:
            record_id: the id.
            first: position of the first record with this id.
            position: of the present one.
        """
        known = self._positions.setdefault(record_id, [first])
        if len(known) <= NAMED:
            known.append(position)

    def stated(self) -> dict[str, Any]:
        """`equal_records`, `repeated_ids` and `notes` for the source's entry in the manifest, where they apply."""
        said: dict[str, Any] = {}
        notes: list[str] = []
        if self.equal:
            said["equal_records"] = self.equal
            where = f" (at position {_listed(self._equal_at)})" if self._equal_at else ""
            what = f"1 {self._noun} was" if self.equal == 1 else f"{self.equal} {self._noun}s were"
            notes.append(f"{what} left out, equal to an earlier one in every byte{where}")
        if self._positions:
            said["repeated_ids"] = len(self._positions) + self.unnamed_ids
            notes += [
                f"{self._noun}s {_listed(positions)} are different and have the id {shown(record_id)}; all are kept"
                for record_id, positions in list(self._positions.items())[:NAMED]
            ]
        return said | ({"notes": notes} if notes else {})


def _listed(numbers: Sequence[int]) -> str:
    named = ", ".join(str(number) for number in numbers[:NAMED])
    return named + (", …" if len(numbers) > NAMED else "")
