"""Writes the members of systems whose records come one by one: a timeline, or a list of alerts or artifact records.

A writer counts its records, gives the part its provenance, and treats a record that cannot be used as `Wanted` says:
it is a fault that names the record, or, if a partial bundle is allowed, it is left out and named in `Part.left_out`.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Self

from bundles.format.model import limits as format_limits
from bundles.format.model import paths
from bundles.format.model.errors import RecordError
from bundles.format.model.records import (
    ALERT_ORDER,
    ARTIFACT_ORDER,
    EVENTS,
    RecordSpool,
    canonical_record,
    sort_key,
    write_timeline,
)
from bundles.sources import faults
from bundles.sources.adapters.protocol import Wanted
from bundles.sources.faults import Source
from bundles.sources.jsonfault import shown
from bundles.sources.refusals import NAMED, WAY_ON
from bundles.sources.trace import Part, Trace
from foundation.instant import rfc3339
from jobs.errors import PermanentError, RetryableError

TOO_LARGE = "it takes more than {} bytes as canonical JSON"


def named(position: int, record_id: object = None) -> str:
    """A record for a message: `record 7`, or `record 7 (id ~12)` with its id escaped and shortened.

    Args:
        position: among the records of its part, from 1.
        record_id: as the system sent it; None if it has none.
    """
    return f"record {position}" if record_id is None else f"record {position} (id {shown(record_id)})"


class _Member:
    """What the writers have in common.

    Args:
        source: the part; named in errors.
        url: of what is read, without credentials, for the manifest.
        wanted: the incident and how it is read.

    Attributes:
        trace: receives the bytes that the system sends; give it to `SourceClient.document`.
        position: of the last record that was added or left out, from 1.
        refused: number of records that were left out.
    """

    def __init__(self, source: Source, url: str, wanted: Wanted) -> None:
        self.trace = Trace(source, url, wanted.tally)
        self.position = 0
        self.refused = 0
        self._source = source
        self._wanted = wanted
        self._gaps: list[str] = []
        self._notes: list[str] = []
        self._as_of: dict[str, Any] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        self._open.close()

    def leave_out(self, which_and_why: str) -> None:
        """Leave out the next record, which cannot be used.

        Args:
            which_and_why: as `named` and `Refused` say it: `record 7 (id ~12): it has no size`.

        Raises:
            jobs.errors.PermanentError: a partial bundle is not allowed.
        """
        self.position += 1
        self.refused += 1
        if not self._wanted.allow_partial:
            raise faults.invalid(self._source, f"{which_and_why}. {WAY_ON}")
        if self.refused <= NAMED:
            self._gaps.append(f"{self._source.title}: {which_and_why}.")

    def gap(self, what: str) -> None:
        """State that something other than a record is missing, in a sentence.

        Raises:
            jobs.errors.PermanentError: a partial bundle is not allowed.
        """
        if not self._wanted.allow_partial:
            raise faults.invalid(self._source, what)
        self._gaps.append(f"{self._source.title}: {what}")

    def note(self, what: str) -> None:
        """State in the manifest, in a sentence, what a reader must know about the part; nothing is missing."""
        self._notes.append(what)

    def as_of(self, at: datetime, records: int, later: int) -> None:
        """State that the system's list grew while it was read.

        Args:
            at: when it had the records that were read.
            records: how many these are.
            later: how many more it had at the end; nothing is stated for 0.
        """
        if later > 0:
            self._as_of = {"at": rfc3339(at.astimezone(UTC)), "records": records, "later": later}

    def _line(self, record: Any, record_id: object) -> bytes | None:
        """The record's canonical line; None if it was left out."""
        reason = "it is not an object"
        try:
            if isinstance(record, dict):
                line = canonical_record(record)
                if len(line) <= format_limits.DEFAULT_LIMITS.record_bytes:
                    self.position += 1
                    self.trace.record()
                    return line
                reason = TOO_LARGE.format(format_limits.DEFAULT_LIMITS.record_bytes)
        except RecordError as error:
            reason = str(error)
        self.leave_out(f"{named(self.position + 1, record_id)}: {reason}")
        return None

    def _part(self, name: str, fault: RetryableError | PermanentError | None) -> Part:
        more = self.refused - NAMED
        if more > 0:
            self._gaps.append(f"{self._source.title}: {more} more records cannot be used; the first {NAMED} are named.")
        provenance = self.trace.provenance()
        if self._notes:
            provenance["notes"] = self._notes
        if self._as_of is not None:
            provenance["as_of"] = self._as_of
        member = self._wanted.staging / name
        return Part(member, provenance, self.trace.records, fault, left_out=tuple(self._gaps))


class TimelineMember(_Member):
    """Writes `timeline.json`: a header and the events. Memory stays flat.

    Args:
        source: the part.
        url: of what is read, without credentials, for the manifest.
        wanted: the incident and how it is read.
        by_key: sort the events by the keys given to `add`, for a system that sends them in no order; otherwise they
            keep the order in which they are added.

    Attributes:
        header: keys of the timeline besides `incident_id`, which is ours, and `events`.
    """

    def __init__(self, source: Source, url: str, wanted: Wanted, *, by_key: bool = False) -> None:
        super().__init__(source, url, wanted)
        self.header: dict[str, Any] = {}
        self._spool = RecordSpool(wanted.staging) if by_key else None
        self._lines = tempfile.TemporaryFile(dir=wanted.staging)  # noqa: SIM115 -- closed with the writer
        self._open.callback(self._lines.close)

    def add(self, event: Any, record_id: object = None, *, key: tuple[str, str] = ("", "")) -> bool:
        """Add an event; returns whether it is in the member.

        Args:
            event: as the system sent it.
            record_id: for the message if it cannot be used.
            key: its place among the others, if they are sorted.

        Raises:
            jobs.errors.PermanentError: it cannot be used, and a partial bundle is not allowed.
        """
        line = self._line(event, record_id)
        if line is None:
            return False
        if self._spool is not None:
            self._spool.add(key, line)
        else:
            self._lines.write(line + b"\n")
        return True

    def part(self, fault: RetryableError | PermanentError | None = None) -> Part:
        """Write the member, once.

        Args:
            fault: why events may be missing, if the reading stopped; only if a partial bundle is allowed.

        Raises:
            jobs.errors.PermanentError: the header cannot be written as JSON.
        """
        header = {**self.header, "incident_id": self._wanted.incident_id}
        header.pop(EVENTS, None)
        try:
            canonical_record(header)
        except RecordError as error:
            raise faults.invalid(self._source, f"what it says of the incident was refused: {error}.") from None
        self._lines.seek(0)
        in_order = (line.rstrip(b"\n") for line in self._lines)
        lines = in_order if self._spool is None else self._spool.lines()
        write_timeline(self._wanted.staging / paths.TIMELINE, header, lines)
        return self._part(paths.TIMELINE, fault)


class RecordsMember(_Member):
    """Writes `alerts.json` or `artifacts.json`: an array of records, sorted on disk as the format asks.

    Args:
        source: `faults.ALERTS` or `faults.ARTIFACTS`; decides the member and its order.
        url: of what is read, without credentials, for the manifest.
        wanted: the incident and how it is read.
    """

    def __init__(self, source: Source, url: str, wanted: Wanted) -> None:
        super().__init__(source, url, wanted)
        alerts = source == faults.ALERTS
        self._name = paths.ALERTS if alerts else paths.ARTIFACTS
        self._order = ALERT_ORDER if alerts else ARTIFACT_ORDER
        self._spool = RecordSpool(wanted.staging)

    def add(self, record: Any, record_id: object = None) -> bool:
        """Add a record; see `TimelineMember.add`."""
        line = self._line(record, record_id)
        if line is None:
            return False
        self._spool.add(sort_key(record, self._order), line)
        return True

    def part(self, fault: RetryableError | PermanentError | None = None) -> Part:
        """Write the member, once; see `TimelineMember.part`."""
        self._spool.write_array(self._wanted.staging / self._name)
        return self._part(self._name, fault)
