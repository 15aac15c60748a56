"""An extracted bundle read as rows: each record with the key that says which one it is.

Records are read one at a time, as often as needed; only which keys occur more than once is remembered. A row's
`record` is the canonical line and nothing else decides equality.
"""

from __future__ import annotations

import hashlib
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
        repeats = self._event_repeats
        for position, line in enumerate(self._event_lines()):
            digest = hashlib.sha256(line).hexdigest()
            yield EventRow(digest, repeats.get(position, 0), position, line.decode("ascii"))

    def alerts(self) -> Iterator[AlertRow]:
        """The alerts in the order of the bundle."""
        repeats = self._alert_repeats
        for position, (record, line) in enumerate(self._array(paths.ALERTS)):
            yield AlertRow(
                key=_key(record.get("id"), line),
                timestamp=_listed(record.get("timestamp")),
                severity=_listed(record.get("severity")),
                title=_listed(record.get("title")),
                record=line.decode("ascii"),
                repeated=position in repeats,
            )

    def artifacts(self) -> Iterator[ArtifactRow]:
        """The artifact records in the order of the bundle."""
        repeats = self._artifact_repeats
        for position, (record, line) in enumerate(self._array(paths.ARTIFACTS)):
            yield ArtifactRow(
                key=_key(record.get("artifact_id"), line),
                name=_listed(record.get("name")),
                record=line.decode("ascii"),
                repeated=position in repeats,
                told_sha256=str(record.get("sha256") or "").lower(),
                file=None if position in repeats else self._file_of(record),
            )

    def artifact_files(self) -> Iterator[FileEntry]:
        """Every artifact file that the bundle carries."""
        return (entry for entry in self.manifest.files if entry.artifact_id is not None)

    @cached_property
    def _event_repeats(self) -> dict[int, int]:
        return _repeats((hashlib.sha256(line).hexdigest() for line in self._event_lines()), self.scratch)

    @cached_property
    def _alert_repeats(self) -> dict[int, int]:
        return _repeats((_key(record.get("id"), line) for record, line in self._array(paths.ALERTS)), self.scratch)

    @cached_property
    def _artifact_repeats(self) -> dict[int, int]:
        rows = self._array(paths.ARTIFACTS)
        return _repeats((_key(record.get("artifact_id"), line) for record, line in rows), self.scratch)

    def _event_lines(self) -> Iterator[bytes]:
        if self.has(paths.TIMELINE):
            for _, line in read_timeline(self.directory / paths.TIMELINE).events:
                yield line

    def _array(self, member: str) -> Iterator[tuple[dict[str, Any], bytes]]:
        return iter_array(self.directory / member) if self.has(member) else iter(())

    def _file_of(self, record: dict[str, Any]) -> FileEntry | None:
        """The file that the record tells of: the one at its name's path, or the only one of its id."""
        artifact_id = record.get("artifact_id")
        files = self._files_by_id.get(artifact_id, []) if isinstance(artifact_id, str) else []
        if len(files) > 1:
            path = paths.artifact_path(str(artifact_id), str(record.get("name") or ""))
            files = [entry for entry in files if entry.path == path]
        return files[0] if files else None


def storable(text: str) -> bool:
    """Whether PostgreSQL can hold `text` as it is: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


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


def _repeats(keys: Iterable[str], scratch: Path) -> dict[int, int]:
    """Which positions hold a key that came before, and how often it came; sorted on disk, not in memory."""
    spool = RecordSpool(scratch)
    for position, key in enumerate(keys):
        spool.add((key, f"{position:015d}"), canonical_json({"key": key, "position": position}))
    ordered = scratch / "keys.json"
    ordered.unlink(missing_ok=True)
    spool.write_array(ordered)
    found: dict[int, int] = {}
    last, times = None, 0
    for row, _ in iter_array(ordered):
        times = times + 1 if row["key"] == last else 0
        last = row["key"]
        if times:
            found[row["position"]] = times
    ordered.unlink()
    return found
