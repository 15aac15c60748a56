"""An extracted bundle read as rows: each record with the key that says which one it is.

Each member is parsed once, into rows in a scratch file that are read one at a time as often as needed; only which keys
occur more than once is held in memory. A row's `record` is the canonical line and nothing else decides equality.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bundles.format import paths
from bundles.format.canonical import canonical_json
from bundles.format.manifest import FileEntry, Manifest
from bundles.format.records import RecordSpool, iter_array, read_timeline

MAX_KEY_CHARS = 500  # PostgreSQL indexes about 2,700 bytes; incident id and four bytes a character must fit
MAX_LISTED_CHARS = 300


@dataclass(frozen=True, slots=True)
class EventRow:
    """One timeline event; see the model for the fields."""

    digest: str
    occurrence: int
    position: int
    record: str

    @property
    def key(self) -> str:
        """The event's key as a plan shows it."""
        return f"{self.digest}/{self.occurrence}"


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert; `repeated` when the bundle has another alert of that id before it."""

    key: str
    timestamp: str
    severity: str
    title: str
    record: str
    repeated: bool


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """One artifact record, the SHA-256 it tells of, and its file in the manifest, if the bundle carries the file."""

    key: str
    name: str
    record: str
    repeated: bool
    told_sha256: str
    file: FileEntry | None


@dataclass(frozen=True)
class Contents:
    """What a verified bundle holds.

    Attributes:
        directory: where it was extracted.
        manifest: its verified manifest.
        scratch: an existing directory for sorting.
    """

    directory: Path
    manifest: Manifest
    scratch: Path
    _files_by_id: dict[str, list[FileEntry]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Sort the files by artifact."""
        for entry in self.manifest.files:
            if entry.artifact_id is not None:
                self._files_by_id.setdefault(entry.artifact_id, []).append(entry)

    def has(self, member: str) -> bool:
        """Whether the bundle carries this data member."""
        return any(entry.path == member for entry in self.manifest.files)

    def header(self) -> str | None:
        """The timeline without its events, as one canonical record; None when the bundle has no timeline."""
        if not self.has(paths.TIMELINE):
            return None
        return canonical_json(read_timeline(self.directory / paths.TIMELINE).header).decode("ascii")

    def events(self) -> Iterator[EventRow]:
        """The events in the order of the timeline."""
        for position, (digest, record) in enumerate(_read(self._event_rows.path)):
            yield EventRow(digest, self._event_rows.repeats.get(position, 0), position, record)

    def alerts(self) -> Iterator[AlertRow]:
        """The alerts in the order of the bundle."""
        for position, (key, timestamp, severity, title, record) in enumerate(_read(self._alert_rows.path)):
            yield AlertRow(key, timestamp, severity, title, record, position in self._alert_rows.repeats)

    def artifacts(self) -> Iterator[ArtifactRow]:
        """The artifact records in the order of the bundle."""
        for position, (key, name, told_sha256, record) in enumerate(_read(self._artifact_rows.path)):
            repeated = position in self._artifact_rows.repeats
            file = None if repeated else self._file_of(key, record)
            yield ArtifactRow(key, name, record, repeated, told_sha256, file)

    def artifact_files(self) -> Iterator[FileEntry]:
        """Every artifact file that the bundle carries."""
        return (entry for entry in self.manifest.files if entry.artifact_id is not None)

    @cached_property
    def _event_rows(self) -> _Rows:
        made = ([hashlib.sha256(line).hexdigest(), line.decode("ascii")] for line in self._event_lines())
        return _keep(made, self.scratch / "events.rows")

    @cached_property
    def _alert_rows(self) -> _Rows:
        listed = ("timestamp", "severity", "title")
        made = (
            [_key(record.get("id"), line), *(_listed(record.get(name)) for name in listed), line.decode("ascii")]
            for record, line in self._array(paths.ALERTS)
        )
        return _keep(made, self.scratch / "alerts.rows")

    @cached_property
    def _artifact_rows(self) -> _Rows:
        made = (
            [
                _key(record.get("artifact_id"), line),
                _listed(record.get("name")),
                str(record.get("sha256") or "").lower(),
                line.decode("ascii"),
            ]
            for record, line in self._array(paths.ARTIFACTS)
        )
        return _keep(made, self.scratch / "artifacts.rows")

    def _event_lines(self) -> Iterator[bytes]:
        if self.has(paths.TIMELINE):
            for _, line in read_timeline(self.directory / paths.TIMELINE).events:
                yield line

    def _array(self, member: str) -> Iterator[tuple[dict[str, Any], bytes]]:
        return iter_array(self.directory / member) if self.has(member) else iter(())

    def _file_of(self, artifact_id: str, record: str) -> FileEntry | None:
        """The file that the record tells of: the one at its name's path, or the only one of its id."""
        files = self._files_by_id.get(artifact_id, [])
        if len(files) > 1:
            path = paths.artifact_path(artifact_id, str(json.loads(record).get("name") or ""))
            files = [entry for entry in files if entry.path == path]
        return files[0] if files else None


@dataclass(frozen=True)
class _Rows:
    """A member's rows in a scratch file, one JSON array a line, key first; which positions repeat an earlier key."""

    path: Path
    repeats: dict[int, int]


def _keep(rows: Iterable[list[str]], path: Path) -> _Rows:
    """Write rows to a new file, and find the keys that occur more than once by sorting them on disk."""
    spool = RecordSpool(path.parent)
    with path.open("x", encoding="ascii") as file:
        for position, row in enumerate(rows):
            file.write(json.dumps(row) + "\n")
            spool.add((row[0], f"{position:015d}"), canonical_json([row[0], position]))
    ordered = path.with_suffix(".keys")
    spool.write_array(ordered)
    repeats: dict[int, int] = {}
    last, times = None, 0
    with ordered.open("rb") as file_of_keys:
        for line in file_of_keys:
            if line[:2] != b'["':  # the brackets of the array itself
                continue
            key, position = json.loads(line.rstrip(b",\n"))
            times = times + 1 if key == last else 0
            last = key
            if times:
                repeats[position] = times
    ordered.unlink()
    return _Rows(path, repeats)


def _read(path: Path) -> Iterator[list[str]]:
    with path.open("r", encoding="ascii") as file:
        for line in file:
            yield json.loads(line)


def storable(text: str) -> bool:
    """Whether PostgreSQL can hold `text` as it is: no NUL, no lone surrogate."""
    try:
        return b"\x00" not in text.encode("utf-8")
    except UnicodeEncodeError:
        return False


def _key(value: Any, line: bytes) -> str:
    """The text that stands for a record's id: the id itself, escaped or hashed where no column could hold it."""
    if value is None:
        return "sha256:" + hashlib.sha256(line).hexdigest()
    text = value if isinstance(value, str) and storable(value) else canonical_json(value).decode("ascii")
    if len(text) > MAX_KEY_CHARS:
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    return text


def _listed(value: Any) -> str:
    """A field's text for lists, shortened."""
    if value is None:
        return ""
    text = value if isinstance(value, str) and storable(value) else canonical_json(value).decode("ascii")
    return text[:MAX_LISTED_CHARS]
