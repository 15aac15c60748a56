"""Reads the events of a sketch by its export stream: one JSON object a line, all fields, in no order.

The stream ends like a whole one also where a search behind it failed, so the events are counted against what the sketch
says before and after.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any, Self

from bundles.format.model.canonical import canonical_json, strict_loads
from bundles.sources import faults
from bundles.sources.adapters.protocol import Wanted
from bundles.sources.adapters.timesketch import sketch as sketches
from bundles.sources.adapters.timesketch.session import Session
from bundles.sources.adapters.timesketch.sketch import Sketch
from bundles.sources.faults import SourceFault
from bundles.sources.members import TimelineMember, named
from bundles.sources.trace import Part
from jobs.errors import PermanentError, RetryableError

FIRST_RELEASE = "20251219"  # with an export stream
COUNT_FAILED = "it counts no events, and has some; its count says 0 also where the search behind it failed."
COMMENT_LABEL = "__ts_comment"
COMMENTS = "timesketch_comments"
_LAST = "~"  # behind every time
_MICROSECONDS_BEFORE = 2**63


def fetch(session: Session, wanted: Wanted) -> Part:
    """Read the events and write `timeline.json`.

    Raises:
        jobs.errors.RetryableError: another attempt can help.
        jobs.errors.PermanentError: there is no such sketch, or it cannot be read.
    """
    sketch = sketches.fetch(session, wanted.ref)
    path = f"{sketches.API}{sketch.number}/exportstream/"
    with TimelineMember(session.source, session.client.url(path), wanted, by_key=True) as member:
        _state_timelines(session, sketch, member, wanted)
        member.header = {"sketch": sketch.fields, "sketch_meta": sketch.meta}
        member.header["stories"] = sketches.stories(session, sketch)
        began, before = datetime.now(UTC), sketches.count(session, sketch)
        with _Commented(session, sketch, member, wanted) as commented:
            fault: RetryableError | PermanentError | None = None
            try:
                _read(session, sketch, member, commented, path)
                commented.add_all()
                after = sketches.count(session, sketch)
                if not (before and after) and (member.position or sketch.has_events):
                    raise faults.unavailable(session.source, COUNT_FAILED)
                _compare(session, member, began, before, after)
            except SourceFault as error:
                fault = _explained(session, error)
                if not wanted.allow_partial:
                    raise fault from None
                commented.keep_rest()
        return member.part(fault)


def _explained(session: Session, error: RetryableError | PermanentError) -> RetryableError | PermanentError:
    """The fault of reading; for a path that is not there, which release has it, as the sketch itself was found."""
    if error.code != faults.UNKNOWN:
        return error
    return faults.rejected(session.source, f"it has no export stream; Timesketch {FIRST_RELEASE} or later has one.")


def _state_timelines(session: Session, sketch: Sketch, member: TimelineMember, wanted: Wanted) -> None:
    """State the timelines whose events are not read."""
    if importing := sketch.named(processing=True):
        what = f"timelines that are still being imported cannot be read yet: {importing}."
        if not wanted.allow_partial:
            raise faults.unavailable(session.source, what)
        member.gap(what)
    if closed := sketch.named(processing=False):
        member.note(f"Timelines of the sketch that have no events to read: {closed}.")


def _read(session: Session, sketch: Sketch, member: TimelineMember, commented: _Commented, path: str) -> None:
    if not sketch.ready:
        return
    query = {"query": sketches.ALL_EVENTS, "fields": "*", "filter": {"indices": list(sketch.ready)}}
    limits = session.limits
    with session.stream(path, query, member.trace, max_bytes=limits.export_bytes) as pieces:
        for line in _lines(session, pieces, limits.record_bytes):
            where = named(member.position + len(commented) + 1)
            if line is None:
                member.leave_out(f"{where}: it is larger than {limits.record_bytes} bytes")
                continue
            try:
                event = strict_loads(line, floats=True)
            except ValueError as error:
                member.leave_out(f"{where}: {_why(error)}")
                continue
            if isinstance(event, dict) and _has_comments(event, sketch.number):
                commented.set_aside(event)
            else:
                member.add(event, _id_of(event), key=_key(event))


def _lines(session: Session, pieces: Iterator[bytes], most: int) -> Iterator[bytes | None]:
    """The lines of the stream; None in the place of one that is too long, which is not kept in memory."""
    rest, skipping = b"", False
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if skipping or len(line) > most:
                skipping = False
                yield None
            elif line.strip():
                yield line
        if len(rest) > most:
            rest, skipping = b"", True
    if rest.strip() or skipping:
        raise faults.unavailable(session.source, "its export stops in the middle of an event.")


class _Commented:
    """The events that have comments, set aside until the stream is at its end, since each needs a call of its own."""

    def __init__(self, session: Session, sketch: Sketch, member: TimelineMember, wanted: Wanted) -> None:
        self._session = session
        self._sketch = sketch
        self._member = member
        self._check = wanted.tally.check
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=wanted.staging)  # noqa: SIM115 -- closed with this
        self._kept = 0
        self._added = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        """How many are set aside and not added yet."""
        return self._kept - self._added

    def set_aside(self, event: dict[str, Any]) -> None:
        """Keep an event for `add_all`."""
        self._file.write(canonical_json(event) + b"\n")
        self._kept += 1

    def add_all(self) -> None:
        """Ask for the comments of each event and add it with them."""
        self._file.seek(0)
        for event in self._left():
            self._check()
            index, event_id = event.get("_index"), event.get("_id")
            if not isinstance(index, str) or not isinstance(event_id, str):
                self._member.leave_out(f"{named(self._member.position + 1, event_id)}: it has no _index or _id")
                continue
            found = sketches.comments(self._session, self._sketch, index, event_id)
            name = COMMENTS
            while name in event:  # a field of the evidence itself
                name += "_"
            event[name] = found
            self._member.add(event, event_id, key=_key(event))

    def keep_rest(self) -> None:
        """Add what is left without comments, after a fault."""
        if len(self) and not self._added:
            self._file.seek(0)
        without = 0
        for event in self._left():
            without += self._member.add(event, _id_of(event), key=_key(event))
        if without:
            self._member.gap(f"the comments on {without} events could not be read.")

    def _left(self) -> Iterator[dict[str, Any]]:
        while self._added < self._kept:
            event = strict_loads(self._file.readline(), floats=True)
            self._added += 1
            yield event


def _compare(session: Session, member: TimelineMember, began: datetime, before: int, after: int) -> None:
    """Compare what came with the counts before and after."""
    came = member.position
    if came < min(before, after):
        what = f"its export ended after {came} of {min(before, after)} events; a search behind it may have failed."
        raise faults.unavailable(session.source, what)
    if came > max(before, after):
        member.note(f"The sketch counted {before} events before and {after} after its export; the export had {came}.")
    elif before != after:
        member.as_of(began, came, after - came)
        member.note(f"The sketch changed while it was read: {before} events before, {after} after, {came} exported.")


def _has_comments(event: dict[str, Any], sketch: int) -> bool:
    labels = event.get("timesketch_label")
    return isinstance(labels, list) and any(
        isinstance(label, dict) and label.get("name") == COMMENT_LABEL and label.get("sketch_id") == sketch
        for label in labels
    )


def _key(event: Any) -> tuple[str, str]:
    """By time, then by index and id, so that two readings of the same sketch have one order."""
    if not isinstance(event, dict):
        return _LAST, ""
    at = event.get("timestamp")
    dated = isinstance(at, int) and not isinstance(at, bool) and abs(at) < _MICROSECONDS_BEFORE
    time_key = f"{at + _MICROSECONDS_BEFORE:020d}" if dated and isinstance(at, int) else _LAST
    return time_key, f"{event.get('_index')}\0{event.get('_id')}"


def _id_of(event: Any) -> object:
    return event.get("_id") if isinstance(event, dict) else None


def _why(error: ValueError) -> str:
    """Why a line is no record, without anything that it says."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON at character {error.pos + 1}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 at byte {error.start + 1}"
    return str(error)
