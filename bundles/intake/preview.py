"""What an import would do, before it runs: what the file is, how its records are read, and what is left out.

The whole file is read within a bound of records; nothing is written but the preview.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.intake.archives.members import FILE, ArchiveError
from bundles.intake.delivered import Delivered, RecordFile
from bundles.intake.formats import kinds, shapes
from bundles.intake.formats.kinds import Taken
from bundles.sources.jsonstream import MalformedError, Refused
from bundles.timelines import reading
from bundles.timelines.severities import SEVERITIES
from bundles.timelines.times import EPOCH, UNDATED
from foundation.instant import rfc3339

FIRST = 20  # records shown as they will be read
NAMED = 100  # members, faults and the like that are named; the rest is counted
MOST_RECORDS = 200_000  # counted in a preview; a larger file says "more than"

Json = dict[str, Any]


def of(delivered: Delivered, progress: Callable[[int], None] = lambda _: None) -> Json:
    """Read a delivered file as an import would.

    Args:
        delivered: the file.
        progress: called with the number of records read so far.

    Returns:
        `container`, `incident_id` (a suggestion), `files`, `bytes`, `described` (see `Delivered.describe`), `records`
        (for each file of records its kind, counts, severities and what is left out), `first` (records as they will be
        read), `not_understood`, `unreadable`, `odd`, `columns` (of a table that no known kind reads), and `whole`
        (whether all records were counted).
    """
    files = [member for one in _both(delivered) for member in one.members if member.kind == FILE]
    unreadable = [{"name": member.name, "reason": member.unreadable} for member in files if member.unreadable]
    odd = [{"name": member.name, "faults": list(member.faults)} for member in files if member.faults]
    encrypted = [member.name for member in files if member.attributes.get("encrypted")]
    found = _Reading(progress)
    for file in delivered.record_files():
        found.read(file)
    read_names = {one["name"] for one in found.files}
    others = [member.name for member in files if member.name not in read_names]
    return {
        "container": delivered.container,
        "incident_id": suggested_incident_id(delivered.name),
        "files": 1 + len(files),
        "bytes": sum(member.size for member in files),
        "described": delivered.describe(),
        "records": found.files,
        "first": found.first,
        "whole": found.whole,
        "not_understood": _bounded(others),
        "unreadable": _bounded(unreadable),
        "odd": _bounded(odd),
        "encrypted": _bounded(encrypted),
        "has_password": delivered.password is not None,
        "password_fault": _password_fault(delivered),
        "columns": _columns(delivered) if all(one["kind"] == kinds.MAPPED for one in found.files) else [],
    }


def suggested_incident_id(name: str) -> str:
    """An incident id made of a file's name; empty if nothing of it can be used."""
    stem = PurePosixPath(name.replace("\\\\", "/")).name
    while (suffix := PurePosixPath(stem).suffix.lower()) and suffix in SUFFIXES:
        stem = stem[: -len(suffix)]
    wanted = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100]
    return wanted if paths.valid_incident_id(wanted) else ""


SUFFIXES = frozenset({".zip", ".tar", ".gz", ".tgz", ".zst", ".bz2", ".xz", ".json", ".jsonl", ".csv", ".log", ".txt"})


class _Reading:
    """Reads the records of one file after the other, within one bound."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self._read = 0
        self.files: list[Json] = []
        self.first: list[Json] = []
        self.whole = True

    def read(self, file: RecordFile) -> None:
        """Read the records of a file."""
        counts: Counter[str] = Counter()
        severities: Counter[str] = Counter()
        left_out: list[str] = []
        undated = 0
        try:
            for one in file.kind.records(file.open, file.look):
                if self._read >= MOST_RECORDS:
                    self.whole = False
                    break
                self._read += 1
                if self._read % 1000 == 0:
                    self._progress(self._read)
                if isinstance(one, Refused):
                    left_out.append(shapes.in_words(one))
                    continue
                counts[one.part] += 1
                point = _point(one)
                severities[SEVERITIES[point.severity]] += 1
                undated += point.at_us == UNDATED
                if len(self.first) < FIRST:
                    self.first.append(_shown(file, one, point))
        except (MalformedError, ArchiveError) as error:
            left_out.append(f"The file cannot be read on: {error}")
        self.files.append(
            {
                "name": file.name,
                "kind": file.kind.name,
                "title": file.kind.title,
                "events": counts[kinds.TIMELINE],
                "alerts": counts[kinds.ALERTS],
                "severities": dict(severities),
                "undated": undated,
                "left_out": _bounded(left_out),
            }
        )


def _point(taken: Taken) -> reading.Point:
    kind = reading.ALERT if taken.part == kinds.ALERTS else reading.EVENT
    return reading.point_of(taken.record, canonical_json(taken.record).decode("utf-8", "replace"), kind)


def _shown(file: RecordFile, taken: Taken, point: reading.Point) -> Json:
    """A record as the incident's page will show it, with the text and the field that its time was read from."""
    return {
        "part": taken.part,
        "member": file.name,
        "position": taken.row.position,
        "line": taken.row.line,
        "time": "" if point.at_us == UNDATED else rfc3339(EPOCH + timedelta(microseconds=point.at_us)),
        "time_text": point.time,
        "time_field": _time_field(taken),
        "severity": SEVERITIES[point.severity],
        "severity_text": point.rated,
        "phase": point.phase,
        "title": point.what,
        "hosts": point.hosts,
        "accounts": point.accounts,
    }


def _time_field(taken: Taken) -> str:
    """The record's own field that its time is read from, also where it was added under a name of ours."""
    field = reading.time_field(taken.record)
    if not field or field in taken.row.record:
        return field
    return next((name for name, value in taken.row.record.items() if value == taken.record[field]), field)


def _both(delivered: Delivered) -> list[Delivered]:
    return [one for one in (delivered, delivered.inner) if one is not None]


def _password_fault(delivered: Delivered) -> str:
    """Why the password that was given does not open the first encrypted member; empty if it does, or none was given."""
    for member in delivered.members if delivered.password is not None else ():
        if member.kind == FILE and member.attributes.get("encrypted"):
            try:
                next(delivered.open_member(member), b"")
            except ArchiveError as error:
                return str(error)
            return ""
    return ""


def _columns(delivered: Delivered) -> list[str]:
    """The columns or fields of a file that is not understood, to choose from."""
    if delivered.archive is not None:
        return []
    look = shapes.look(delivered.head(delivered.open()))
    return list(look.columns or look.first.keys())[:NAMED]


def _bounded(found: list[Any]) -> Json:
    return {"count": len(found), "named": found[:NAMED]}
