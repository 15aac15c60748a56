"""Reads what belongs to a case as a whole: keys of the timeline beside its events, in bounded memory.

`case`, `iris` (the versions that IRIS states), `assets`, `iocs`, `tasks`, `note_directories`, and `notes` with their
text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bundles.format.model.canonical import canonical_json
from bundles.sources import faults
from bundles.sources.adapters.dfir_iris import index_keys
from bundles.sources.adapters.dfir_iris.pages import ASSETS, IOCS, NOTE_DIRECTORIES, TASKS, Reader
from bundles.sources.adapters.dfir_iris.wire import ASK_OLDER, VERSIONS, Case, Iris, UnusableAnswerError, unusable
from bundles.sources.faults import StatusRefusedError
from bundles.sources.members import TimelineMember
from bundles.sources.trace import Trace

LISTS = (("assets", ASSETS), ("iocs", IOCS), ("tasks", TASKS))
NOTES_V2, NOTE_OLDER = "/api/v2/cases/{case}/notes", "/case/notes/{note}"
NAMED = 20  # unusable records of one list
NOTES, DIRECTORIES = "notes", "note_directories"


class _FullError(Exception):
    """The header has no room for another record."""


class _Room:
    """Counts what the header takes.

    Args:
        most_bytes: as canonical JSON, in all.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def take(self, value: Any) -> None:
        self._left -= len(canonical_json(value)) + 1
        if self._left < 0:
            raise _FullError


class _Kept:
    """The records of one reading of a list; see `pages.Sink`."""

    def __init__(self, trace: Trace, room: _Room) -> None:
        self.trace = trace
        self.records: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self._room = room

    def take(self, record: Any) -> None:
        if not isinstance(record, dict):
            self.refused.append(unusable(record, len(self.records) + len(self.refused) + 1))
            return
        self._room.take(record)
        self.records.append(record)


def read(iris: Iris, case: Case, member: TimelineMember, *, allow_partial: bool) -> dict[int, index_keys.Asset]:
    """Read the header into `member.header`.

    Returns:
        Each asset's id, with its name and type.

    Raises:
        jobs.errors.PermanentError: it is larger than `SourceLimits.header_bytes`, or a record in it cannot be used, and
            a partial bundle is not allowed.
        jobs.errors.RetryableError: a note was deleted while the notes were read.
    """
    member.header = {"case": case.record}
    versions = _versions(iris, member.trace)
    if versions:
        member.header["iris"] = versions
    left = iris.limits.header_bytes - len(canonical_json(member.header))
    for name, listing in LISTS:
        member.header[name], left = _list(iris, member, Reader(iris, listing, case), listing.what, left)
    notes = _Kept(member.trace, _Room(left))
    has_list = _read_notes(iris, case, member, notes)
    left = max(left - len(canonical_json(notes.records)), 0)
    # Only the older route says which notes a directory has.
    directories = Reader(iris, NOTE_DIRECTORIES, case, older=not has_list)
    member.header[DIRECTORIES], left = _list(iris, member, directories, NOTE_DIRECTORIES.what, left)
    if not has_list:
        notes = _Kept(member.trace, _Room(left))
        _read_by_directory(iris, case, member, notes, allow_partial=allow_partial)
    _say_refused(member, notes, "notes")
    member.header[NOTES] = notes.records
    return dict(_named(member.header["assets"]))


def _list(iris: Iris, member: TimelineMember, reader: Reader, what: str, left: int) -> tuple[list[dict[str, Any]], int]:
    """The records of a list, and the room that is left after it."""
    kept: list[_Kept] = []

    def start() -> _Kept:
        kept.append(_Kept(member.trace, _Room(left)))
        return kept[-1]

    try:
        agreed = reader.agreed(start)
    except _FullError:
        member.gap(_too_large(iris, what, len(kept[-1].records)))
        return kept[-1].records, 0
    _say_refused(member, agreed.kept, what)
    if agreed.later:
        member.note(f"{agreed.later} {what} came while the list was read; they are not in this bundle.")
    return agreed.kept.records, left - len(canonical_json(agreed.kept.records))


def _say_refused(member: TimelineMember, kept: _Kept, what: str) -> None:
    for one in kept.refused[:NAMED]:
        member.gap(f"its {what}, {one}.")
    if len(kept.refused) > NAMED:
        member.gap(f"its {what}: {len(kept.refused) - NAMED} more records cannot be used.")


def _versions(iris: Iris, trace: Trace) -> Any:
    """What IRIS says of its versions; None if this one does not say."""
    try:
        return iris.value(VERSIONS, trace)
    except StatusRefusedError as refused:
        if refused.http_code in ASK_OLDER:
            return None
        raise


def _read_notes(iris: Iris, case: Case, member: TimelineMember, notes: _Kept) -> bool:
    """Read v2's list of the notes with their text; returns whether this IRIS has that list."""
    path, most = NOTES_V2.format(case=case.number), iris.limits.timeline_bytes
    try:
        iris.records(path, member.trace, "data", notes.take, max_bytes=most)
    except StatusRefusedError as refused:
        if refused.http_code in ASK_OLDER:
            return False
        raise
    except _FullError:
        member.gap(_too_large(iris, NOTES, len(notes.records)))
    return True


def _read_by_directory(iris: Iris, case: Case, member: TimelineMember, notes: _Kept, *, allow_partial: bool) -> None:
    """Read each note that a directory has."""
    for number in _note_numbers(member):
        try:
            note = iris.first([(NOTE_OLDER.format(note=number), {"cid": case.number})], member.trace)
        except UnusableAnswerError as error:
            member.gap(f"note {number}: {error}")
            continue
        if note is None:
            what = f"note {number} was deleted while the notes were read."
            if not allow_partial:
                raise faults.unavailable(iris.source, what)
            member.gap(what)
            continue
        try:
            notes.take(note)
        except _FullError:
            member.gap(_too_large(iris, NOTES, len(notes.records)))
            return


def _note_numbers(member: TimelineMember) -> list[int]:
    """The ids of the notes in the directories, each once; a directory's count must be that of its notes."""
    numbers: dict[int, None] = {}
    for directory in member.header[DIRECTORIES]:
        listed = directory.get("notes")
        listed = listed if isinstance(listed, list) else []
        if directory.get("note_count", len(listed)) != len(listed):
            member.gap(f"a directory of notes lists {len(listed)} notes, which is not what its note_count says.")
        for note in listed:
            number = note.get("id") if isinstance(note, dict) else None
            if isinstance(number, bool) or not isinstance(number, int):
                member.gap("a directory of notes lists one without an id that is a whole number.")
            else:
                numbers[number] = None
    return list(numbers)


def _named(assets: Iterable[dict[str, Any]]) -> Iterator[tuple[int, index_keys.Asset]]:
    for asset in assets:
        number = asset.get("asset_id")
        if isinstance(number, int):
            yield number, index_keys.asset_of(asset)


def _too_large(iris: Iris, what: str, kept: int) -> str:
    most = iris.limits.header_bytes
    what = f"{what} after the first {kept} are not in the timeline"
    return f"what belongs to the case as a whole takes more than {most} bytes: {what}."
