"""Reads an extracted bundle as rows: each record with its key.

Each member is parsed once, into rows in a scratch file that are read one at a time as often as needed; only the keys
that occur more than once are held in memory. A row's `record` is the canonical line and nothing else decides equality.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.format.model.manifest import FileEntry, Manifest
from bundles.format.model.records import RecordSpool, iter_array, parse_record, read_timeline

MAX_KEY_CHARS = 500  # PostgreSQL indexes about 2,700 bytes; incident id and four bytes a character must fit
MAX_LISTED_CHARS = 300


class Key(NamedTuple):
    """Which record one is: `5` and `"5"` are two ids.

    Attributes:
        id_type: the JSON type of the id: string, number, boolean, array or object; `none` where there is no id.
        text: the id's text; the SHA-256 of the record where there is no id, and of the text where it is too long.
    """

    id_type: str
    text: str

    def __str__(self) -> str:
        """As a plan shows it."""
        return self.text if self.id_type in {"string", "none"} else f"{self.text} ({self.id_type})"


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
    """One alert."""

    key: Key
    digest: str
    timestamp: str
    severity: str
    title: str
    record: str


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """One artifact record, the SHA-256 in it, and its file in the manifest, if the bundle has the file."""

    key: Key
    digest: str
    position: int
    name: str
    recorded_sha256: str
    record: str
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
        repeats = self._event_rows.repeats
        for position, (digest, record) in enumerate(_read(self._event_rows.path)):
            yield EventRow(digest, repeats.get(position, 0), position, record)

    def alerts(self) -> Iterator[AlertRow]:
        """The alerts in the order of the bundle."""
        for key, *values in _read(self._alert_rows.path):
            yield AlertRow(Key(*key.split(" ", 1)), *values)

    def artifacts(self) -> Iterator[ArtifactRow]:
        """The artifact records in the order of the bundle."""
        for position, (key, digest, name, recorded_sha256, record) in enumerate(_read(self._artifact_rows.path)):
            made = Key(*key.split(" ", 1))
            yield ArtifactRow(made, digest, position, name, recorded_sha256, record, self._file_of(made, record))

    def repeated_alerts(self) -> Mapping[Key, Counter[str]]:
        """How often each digest occurs, for each id that more than one alert has."""
        return self._alert_rows.repeated

    def repeated_artifacts(self) -> Mapping[Key, Counter[str]]:
        """As `repeated_alerts`, of the artifact records."""
        return self._artifact_rows.repeated

    def artifact_files(self) -> Iterator[FileEntry]:
        """Every artifact file that the bundle carries."""
        return (entry for entry in self.manifest.files if entry.artifact_id is not None)

    @cached_property
    def _event_rows(self) -> _Rows:
        made = ([_digest(line), line.decode("ascii")] for line in self._event_lines())
        return _keep(made, self.scratch / "events.rows", by_id=False)

    @cached_property
    def _alert_rows(self) -> _Rows:
        listed = ("timestamp", "severity", "title")
        made = (
            [_key(record.get("id"), line), _digest(line), *(_listed(record.get(name)) for name in listed),
             line.decode("ascii")]
            for record, line in self._array(paths.ALERTS)
        )  # fmt: skip
        return _keep(made, self.scratch / "alerts.rows", by_id=True)

    @cached_property
    def _artifact_rows(self) -> _Rows:
        made = (
            [_key(record.get("artifact_id"), line), _digest(line), _listed(record.get("name")),
             str(record.get("sha256") or "").lower(), line.decode("ascii")]
            for record, line in self._array(paths.ARTIFACTS)
        )  # fmt: skip
        return _keep(made, self.scratch / "artifacts.rows", by_id=True)

    def _event_lines(self) -> Iterator[bytes]:
        if self.has(paths.TIMELINE):
            for _, line in read_timeline(self.directory / paths.TIMELINE).events:
                yield line

    def _array(self, member: str) -> Iterator[tuple[dict[str, Any], bytes]]:
        return iter_array(self.directory / member) if self.has(member) else iter(())

    def _file_of(self, key: Key, record: str) -> FileEntry | None:
        """The file of the record: the one at the path for its name, or the only one with its id.

        An id that no path can have stands in the path as `paths.path_id` makes it; bundles of other writers may have a
        whole number as it is.
        """
        artifact_id = path_id_of(key, record)
        files = self._files_by_id.get(artifact_id) or self._files_by_id.get(key.text, [])
        if len(files) > 1:
            path = paths.artifact_path(artifact_id, str(parse_record(record).get("name") or ""))
            files = [entry for entry in files if entry.path == path]
        return files[0] if files else None


@dataclass(frozen=True)
class _Rows:
    """A member's rows in a scratch file, one JSON array a line, and what of their keys occurs more than once.

    Attributes:
        path: the scratch file.
        repeats: of events, position → how many of the same key stand before it, where there are any.
        repeated: of records with ids, key → digest → how often, for keys of more than one record.
    """

    path: Path
    repeats: dict[int, int]
    repeated: dict[Key, Counter[str]]


def _keep(rows: Iterable[list[str]], path: Path, *, by_id: bool) -> _Rows:
    """Write rows to a new file, and find the keys that occur more than once by sorting them on disk.

    A row begins with its key and, `by_id`, the record's digest.
    """
    spool = RecordSpool(path.parent)
    with path.open("x", encoding="ascii") as file:
        for position, row in enumerate(rows):
            file.write(json.dumps(row) + "\n")
            spool.add((row[0], f"{position:015d}"), canonical_json([row[0], position, row[1] if by_id else ""]))
    ordered = path.with_suffix(".keys")
    spool.write_array(ordered)
    made = _Rows(path, {}, {})
    first: tuple[str, str] | None = None  # the key that comes now, and the digest of its first record
    times = 0
    for key, position, digest in _sorted_keys(ordered):
        if first is None or key != first[0]:
            first, times = (key, digest), 0
            continue
        times += 1
        if by_id:
            made.repeated.setdefault(Key(*key.split(" ", 1)), Counter([first[1]]))[digest] += 1
        else:
            made.repeats[position] = times
    ordered.unlink()
    return made


def _sorted_keys(ordered: Path) -> Iterator[tuple[str, int, str]]:
    with ordered.open("rb") as lines:
        for line in lines:
            if line[:2] == b'["':  # not the brackets of the array itself
                key, position, digest = json.loads(line.rstrip(b",\n"))
                yield key, position, digest


def _read(path: Path) -> Iterator[list[str]]:
    with path.open("r", encoding="ascii") as file:
        for line in file:
            yield json.loads(line)


def path_id_of(key: Key, record: str) -> str:
    """The artifact id in the path of a record's file; the key's own text where the id is neither text nor a number.

    Args:
        key: of the record.
        record: its canonical line, parsed only where the path does not have the id as it is.
    """
    if key.id_type == "string" and paths.path_id_is_plain(key.text):
        return key.text
    artifact_id = parse_record(record).get("artifact_id")
    if isinstance(artifact_id, bool) or not isinstance(artifact_id, str | int):
        return key.text
    return paths.path_id(artifact_id)


def storable(text: str) -> bool:
    """Whether PostgreSQL can hold `text` as it is: no NUL, no lone surrogate."""
    try:
        return b"\x00" not in text.encode("utf-8")
    except UnicodeEncodeError:
        return False


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _key(value: Any, line: bytes) -> str:
    """The type and the text of a record's id, with a blank between; escaped or hashed where no column could hold it."""
    if value is None:
        return f"none sha256:{_digest(line)}"
    text = value if isinstance(value, str) and storable(value) else canonical_json(value).decode("ascii")
    if len(text) > MAX_KEY_CHARS:
        text = "sha256:" + _digest(text.encode())
    return f"{_json_type(value)} {text}"


def _json_type(value: Any) -> str:
    names = ((str, "string"), (bool, "boolean"), (list, "array"), (dict, "object"))
    return next((name for python, name in names if isinstance(value, python)), "number")


def _listed(value: Any) -> str:
    """A field's text for lists, shortened."""
    if value is None:
        return ""
    text = value if isinstance(value, str) and storable(value) else canonical_json(value).decode("ascii")
    return text[:MAX_LISTED_CHARS]
