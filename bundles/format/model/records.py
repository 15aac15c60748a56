"""Writes and reads the data members `timeline.json`, `alerts.json` and `artifacts.json`, one record per line.

Each record is a line in canonical form, so equal records have equal bytes. Memory is bounded: arrays are sorted in runs
on disk, and one record is read at a time. Data members of older bundles, which do not have one record per line, are
parsed in one piece up to `Limits.whole_json_bytes`.
"""

from __future__ import annotations

import codecs
import heapq
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

from bundles.format.model.canonical import canonical_json, canonical_record, strict_loads
from bundles.format.model.errors import RecordError
from bundles.format.model.limits import DEFAULT_LIMITS, MIB, Limits

RUN_BYTES = 32 * MIB
ALERT_ORDER = ("timestamp", "id")
ARTIFACT_ORDER = ("collected_at", "artifact_id")
EVENTS = "events"
FILE_TYPE = "file_type"  # in the record of an empty folder, a link or a special file, which has no artifact id

__all__ = [
    "ALERT_ORDER", "ARTIFACT_ORDER", "FILE_TYPE", "RecordSpool", "Timeline", "canonical_record", "iter_array",
    "parse_record", "read_timeline", "sort_key", "write_timeline",
]  # fmt: skip


def sort_key(record: dict[str, Any], order: tuple[str, str]) -> tuple[str, str]:
    """The sort key of a record: the texts of two of its fields, empty for a missing one.

    The text of a field that is not a string is its canonical JSON.
    """
    first, second = (record.get(name) for name in order)
    return _text(first), _text(second)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical_json(value).decode("ascii")


def parse_record(line: bytes | str) -> dict[str, Any]:
    """Parse one canonical line; every number keeps its text.

    Raises:
        RecordError: it is not one JSON object.
    """
    try:
        record = strict_loads(line, floats=True)
    except ValueError as error:
        raise RecordError(f"a record is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise RecordError("a record is not an object")
    return record


class RecordSpool:
    """Collects canonical lines in any order and writes them as one sorted array, in bounded memory.

    Args:
        directory: where sorted runs are stored until the array is written; they have no names.
        run_bytes: size of the lines kept in memory.
    """

    def __init__(self, directory: Path, *, run_bytes: int = RUN_BYTES) -> None:
        self._directory = directory
        self._run_bytes = run_bytes
        self._held: list[tuple[tuple[str, str], bytes]] = []
        self._held_bytes = 0
        self._runs = ExitStack()
        self._run_files: list[IO[bytes]] = []
        self.count = 0

    def add(self, key: tuple[str, str], line: bytes) -> None:
        """Add one record.

        Args:
            key: its sort key, from `sort_key`.
            line: its canonical form.
        """
        self._held.append((key, line))
        self._held_bytes += len(line) + 200
        self.count += 1
        if self._held_bytes > self._run_bytes:
            self._spill()

    def write_array(self, path: Path) -> int:
        """Write the array to a new file and drop the records.

        Returns:
            The file's size in bytes.
        """
        with path.open("xb") as out:
            lead = b"[\n"
            for line in self.lines():
                out.write(lead)
                out.write(line)
                lead = b",\n"
            out.write(b"[]" if lead == b"[\n" else b"\n]")
            return out.tell()

    def lines(self) -> Iterator[bytes]:
        """The records' lines in order, once; the records are dropped at the end."""
        self._held.sort()
        with self._runs:
            for _, line in heapq.merge(self._held, *(_read_run(run) for run in self._run_files)):
                yield line
        self._held, self._run_files = [], []

    def _spill(self) -> None:
        self._held.sort()
        run = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 # closed with the stack
        self._runs.enter_context(run)
        for key, line in self._held:
            run.write(json.dumps(key).encode("ascii") + b"\t" + line + b"\n")
        run.seek(0)
        self._run_files.append(run)
        self._held, self._held_bytes = [], 0


def _read_run(run: IO[bytes]) -> Iterator[tuple[tuple[str, str], bytes]]:
    for row in run:
        key, _, line = row.rstrip(b"\n").partition(b"\t")
        first, second = json.loads(key)
        yield (first, second), line


def write_timeline(path: Path, header: dict[str, Any], events: Iterable[bytes]) -> int:
    """Write `timeline.json` to a new file: the header's keys in order, with `events` among them, one per line.

    Args:
        path: the new file.
        header: every key of the timeline but `events`.
        events: canonical lines, in order.

    Returns:
        The file's size in bytes.

    Raises:
        RecordError: the header cannot be written as JSON.
    """
    canonical_record(header)
    before = {key: value for key, value in header.items() if key < EVENTS}
    after = {key: value for key, value in header.items() if key > EVENTS}
    with path.open("xb") as out:
        out.write(canonical_json(before)[:-1] + (b"," if before else b"") + b'"events":[')
        lead = b"\n"
        for line in events:
            out.write(lead)
            out.write(line)
            lead = b",\n"
        out.write((b"]" if lead == b"\n" else b"\n]") + (b"," if after else b"") + canonical_json(after)[1:])
        return out.tell()


@dataclass(frozen=True)
class Timeline:
    """A timeline being read.

    Attributes:
        header: every key but `events`.
        events: each event, parsed and as its canonical line, in stored order; can be read once.
    """

    header: dict[str, Any]
    events: Iterator[tuple[dict[str, Any], bytes]]


def iter_array(
    path: Path, limits: Limits = DEFAULT_LIMITS, *, marked: bool = False
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each record of `alerts.json` or `artifacts.json`, parsed and as its canonical line.

    Args:
        path: the file.
        limits: bounds on what is read.
        marked: whether it may begin with a byte order mark, which no bundle has.

    Raises:
        RecordError: it is not an array of objects.
    """
    with path.open("rb") as file:
        start = _after_mark(file) if marked else 0
        if _is_array_by_lines(file, limits, start):
            yield from _lines(file, limits)
            if file.readline(3) != b"]":
                raise RecordError(f"{path.name} does not end like an array")
            return
    records = _whole(path, limits, start)
    if not isinstance(records, list):
        raise RecordError(f"{path.name} is not an array")
    yield from _objects(records, path.name)


def read_timeline(path: Path, limits: Limits = DEFAULT_LIMITS, *, marked: bool = False) -> Timeline:
    """Open a `timeline.json`; the arguments are those of `iter_array`.

    Raises:
        RecordError: it is not a timeline object; also raised while its events are read.
    """
    with path.open("rb") as file:
        start = _after_mark(file) if marked else 0
        first = file.readline(limits.record_bytes)
        if first.endswith(b'"events":[\n'):
            last = _last_line(file, limits)
            try:
                header = strict_loads(first[:-1] + last, floats=True)
            except ValueError:
                header = None  # another layout; read below in one piece
            if isinstance(header, dict) and header.pop(EVENTS, None) == []:
                return Timeline(header, _timeline_lines(path, start + len(first), last, limits))
    whole = _whole(path, limits, start)
    if isinstance(whole, dict) and EVENTS not in whole and isinstance(whole.get("timeline"), dict):
        whole = whole["timeline"]
    if not isinstance(whole, dict) or not isinstance(whole.get(EVENTS, []), list):
        raise RecordError(f"{path.name} is not a timeline object")
    events = whole.pop(EVENTS, [])
    return Timeline(whole, _objects(events, path.name))


def _after_mark(file: IO[bytes]) -> int:
    """How many bytes a byte order mark takes at the beginning; the file is then positioned after it."""
    start = len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0
    file.seek(start)
    return start


def _is_array_by_lines(file: IO[bytes], limits: Limits, start: int) -> bool:
    """Whether the file is an array with one object per line; the file is then positioned at the first.

    Every line is checked, though not parsed, since an array in another layout can start like this one.
    """
    if file.readline(3) != b"[\n":
        return False
    row = file.readline(limits.record_bytes + 2)
    while row.startswith(b"{") and row.endswith(b"},\n"):
        row = file.readline(limits.record_bytes + 2)
    ends_by_lines = row.startswith(b"{") and row.endswith(b"}\n") and file.readline(3) == b"]"
    file.seek(start + 2)
    return ends_by_lines


def _timeline_lines(path: Path, start: int, last: bytes, limits: Limits) -> Iterator[tuple[dict[str, Any], bytes]]:
    with path.open("rb") as file:
        file.seek(start)
        yield from _lines(file, limits)
        if file.read(len(last) + 1) != last:
            raise RecordError(f"{path.name} does not end like a timeline")


def _lines(file: IO[bytes], limits: Limits) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Records up to the one without a comma; the file is then positioned at the closing bracket."""
    offset = file.tell()
    for position in count(1):
        row = file.readline(limits.record_bytes + 2)
        line = row.rstrip(b"\n")
        more = line.endswith(b",")
        try:
            found = _record(line[:-1] if more else line)
        except RecordError as error:
            raise RecordError(error.detail, position=position, offset=offset) from error
        yield found
        if not row.endswith(b"\n"):
            raise RecordError("a record is cut off or too long", position=position, offset=offset)
        if not more:
            return
        offset += len(row)


def _record(line: bytes) -> tuple[dict[str, Any], bytes]:
    record = parse_record(line)
    return record, canonical_record(record)


def _objects(records: list[Any], name: str) -> Iterator[tuple[dict[str, Any], bytes]]:
    for position, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise RecordError(f"{name} contains a record that is not an object", position=position)
        try:
            line = canonical_record(record)
        except RecordError as error:
            raise RecordError(error.detail, position=position) from error
        yield record, line


def _whole(path: Path, limits: Limits, start: int) -> Any:
    if path.stat().st_size > limits.whole_json_bytes:
        raise RecordError(f"{path.name} does not have one record per line and is too large to read in one piece")
    try:
        return strict_loads(path.read_bytes()[start:], floats=True)
    except ValueError as error:
        raise RecordError(f"{path.name} is not JSON: {error}") from error


def _last_line(file: IO[bytes], limits: Limits) -> bytes:
    """The last line of the file, which starts with the closing bracket of the events."""
    size = file.seek(0, os.SEEK_END)
    tail = b""
    while b"\n" not in tail and size > 0 and len(tail) < limits.record_bytes:
        step = min(size, max(64 * 1024, len(tail)))  # doubles, so that a long line is copied only a few times
        size -= step
        file.seek(size)
        tail = file.read(step) + tail
    return tail.rpartition(b"\n")[2]
