"""Reads the data members of a folder; what is wrong with one is said with its record, field, line and byte."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundles.format.model import json_faults, paths
from bundles.format.model.errors import CannotWriteError, RecordError
from bundles.format.model.limits import DEFAULT_LIMITS, MIB
from bundles.format.model.records import EVENTS, Timeline, iter_array, read_timeline

Records = Iterator[tuple[dict[str, Any], bytes]]

CORRECT_IT = "Correct it in a copy of the folder, or bundle the folder as it is with --any."
ID_FIELDS = {paths.TIMELINE: "id", paths.ALERTS: "id", paths.ARTIFACTS: "artifact_id"}
_RECORDS_AT: dict[str, list[list[str]]] = {
    paths.TIMELINE: [[EVENTS], ["timeline", EVENTS]], paths.ALERTS: [[]], paths.ARTIFACTS: [[]],
}  # fmt: skip
_IF_MISSING = {
    paths.TIMELINE: 'a timeline without events is {"events": []}',
    paths.ALERTS: "a file without alerts is []",
}


def timeline_of(folder: Path) -> Timeline:
    """The timeline of an incident folder.

    Raises:
        CannotWriteError: `input_invalid`; also raised while its events are read.
    """
    path = folder / paths.TIMELINE
    with _located(path):
        timeline = read_timeline(path, marked=True)
    return Timeline(timeline.header, _within_bounds(path, timeline.events))


def records_of(folder: Path, member: str) -> Records:
    """The records of `alerts.json` or `artifacts.json`, parsed and as canonical lines.

    Raises:
        CannotWriteError: `input_invalid`.
    """
    yield from _within_bounds(folder / member, iter_array(folder / member, marked=True))


def named(member: str, position: int, record: dict[str, Any]) -> str:
    """A record for messages: `alerts.json, record 2 (id 's1')`."""
    record_id = record.get(ID_FIELDS[member])
    told = f" (id {str(record_id)[: json_faults.SHOWN_CHARACTERS]!r})" if record_id is not None else ""
    return f"{member}, record {position}{told}"


def _within_bounds(
    path: Path, records: Iterator[tuple[dict[str, Any], bytes]]
) -> Iterator[tuple[dict[str, Any], bytes]]:
    with _located(path):
        for position, (record, line) in enumerate(records, start=1):
            if len(line) > DEFAULT_LIMITS.record_bytes:
                bound = f"is larger than {DEFAULT_LIMITS.record_bytes // MIB} MiB, the most that a bundle can hold"
                raise CannotWriteError("input_invalid", f"{named(path.name, position, record)}, {bound}. {CORRECT_IT}")
            yield record, line


@contextmanager
def _located(path: Path) -> Iterator[None]:
    try:
        yield
    except RecordError as error:
        raise CannotWriteError("input_invalid", _what_is_wrong(path, error)) from error
    except FileNotFoundError as error:
        what = f"{path.name} is missing; {_IF_MISSING[path.name]}." if path.name in _IF_MISSING else str(error)
        raise CannotWriteError("input_invalid", f"{what} To bundle any other folder, use --any.") from error


def _what_is_wrong(path: Path, error: RecordError) -> str:
    fault = json_faults.first_fault(
        path,
        records_at=_RECORDS_AT[path.name],
        id_field=ID_FIELDS[path.name],
        start=error.offset,
        position=error.position if error.offset is not None else None,
    )
    if fault is not None:
        return f"{path.name}: {fault}. {CORRECT_IT}"
    record = f"record {error.position}: " if error.position is not None else ""
    return f"{path.name}: {record}{error.detail}. {CORRECT_IT}"
