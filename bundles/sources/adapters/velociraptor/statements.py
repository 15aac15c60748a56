"""What is stated of a part, in bounded number: gaps, which a partial bundle names, and notes in the manifest."""

from __future__ import annotations

from bundles.sources.members import RecordsMember, TimelineMember
from bundles.sources.refusals import NAMED

Member = TimelineMember | RecordsMember


class Statements:
    """Gives statements to a member; beyond `NAMED` of each they are counted.

    Args:
        member: of the part.

    Attributes:
        member: the same.
    """

    def __init__(self, member: Member) -> None:
        self.member = member
        self._gaps = 0
        self._notes = 0

    def gap(self, what: str) -> None:
        """State that something is missing; `what` begins in lower case, as it follows the name of the source.

        Raises:
            jobs.errors.PermanentError: a partial bundle is not allowed.
        """
        self._gaps += 1
        if self._gaps <= NAMED:
            self.member.gap(what)

    def note(self, what: str) -> None:
        """State what a reader must know though nothing is missing; `what` begins in lower case."""
        self._notes += 1
        if self._notes <= NAMED:
            self.member.note(what[:1].upper() + what[1:])

    def finish(self) -> None:
        """State how many were counted only; once, at the end."""
        if self._gaps > NAMED:
            self.member.gap(f"{self._gaps - NAMED} more things are missing; the first {NAMED} are named.")
        if self._notes > NAMED:
            self.member.note(f"There is as much to note {self._notes - NAMED} times more.")
