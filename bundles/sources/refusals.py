"""What becomes of records that cannot be taken: the first ends the attempt, or each is named in a partial bundle.

A manifest lists a bounded number of gaps, so the first records are named one by one and the others counted.
"""

from __future__ import annotations

from bundles.sources import faults
from bundles.sources.faults import Source
from bundles.sources.jsonstream import Refused

NAMED = 200  # records of one source; the others are counted
WAY_ON = "Correct it at the source, or allow a partial bundle, which leaves out this record only and names it."


class Refusals:
    """The refused records of one source.

    Args:
        source: the source.
        noun: what a record is, such as `alert`.
        allowed: whether a partial bundle is allowed.

    Attributes:
        count: how many were refused.
    """

    def __init__(self, source: Source, noun: str, *, allowed: bool) -> None:
        self._source = source
        self._noun = noun
        self._allowed = allowed
        self._named: list[str] = []
        self._last_position = 0
        self.count = 0

    def add(self, refused: Refused, *, before: int = 0) -> None:
        """Note a refused record.

        Args:
            refused: the record.
            before: how many records earlier answers of the same list had; they are counted in its position.

        Raises:
            jobs.errors.PermanentError: a partial bundle is not allowed.
        """
        named = self._words(refused, before)
        if not self._allowed:
            raise faults.invalid(self._source, f"{named} {WAY_ON}")
        self.count += 1
        self._last_position = before + refused.position
        if self.count <= NAMED:
            self._named.append(f"{self._source.title}: {named}")

    def extend(self, others: Refusals) -> None:
        """Add those of a part of the list that comes behind."""
        room = NAMED - len(self._named)
        self._named += others._named[: max(room, 0)]
        self.count += others.count
        self._last_position = others._last_position or self._last_position

    def reasons(self) -> tuple[str, ...]:
        """A reason for each record that is named, and one for all others, for the manifest's `missing`."""
        others = self.count - len(self._named)
        if not others:
            return tuple(self._named)
        what = f"{others} more {self._noun}s were refused for such reasons, the last of them {self._noun} "
        return (*self._named, f"{self._source.title}: {what}{self._last_position}.")

    def _words(self, refused: Refused, before: int) -> str:
        answer = f" of the answer that begins with {self._noun} {before + 1}" if before else ""
        return f"{self._noun} {before + refused.position}{refused.where(answer)} was refused: {refused.why}."
