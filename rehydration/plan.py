"""The restore plan: what a rehydration would add, find equal, or find in conflict.

Nothing is written here. The plan's digest covers every verdict with its key, so it changes whenever the target has
changed in a way that matters to this bundle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db.models import F, Func, QuerySet, TextField

from bundles.format.canonical import canonical_json
from bundles.format.manifest import FileEntry
from rehydration import artifacts
from rehydration.batches import batches
from rehydration.models import Alert, ArtifactRecord, TimelineEvent, TimelineHeader
from rehydration.records import ArtifactRow, Contents

TABLES = ("timeline", "events", "alerts", "artifacts", "files")
NEW, EQUAL, CONFLICT = "new", "equal", "conflict"
CONFLICTS_LISTED = 200

Beat = Callable[[int], None]


@dataclass(frozen=True)
class PlannedFile:
    """One artifact file: its manifest entry, its place in the store, and whether something equal is there already."""

    entry: FileEntry
    artifact_key: str
    stored_path: str
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a restore of one bundle would do.

    Attributes:
        counts: table → new, equal, conflict → rows (for `files`: files).
        conflicts: the first 200, each `{table, key, reason}`.
        conflict_total: how many there are.
        digest: SHA-256 (hex) that stands for all of it.
        files: the files to place (new) or to leave (equal), each with its record.
        held_back: keys of artifact records that are not added since their file is in conflict.
        problems: why the bundle's own records and files do not belong together; nothing is restored then.
    """

    counts: dict[str, dict[str, int]]
    conflicts: list[dict[str, str]]
    conflict_total: int
    digest: str
    files: list[PlannedFile]
    held_back: frozenset[str]
    problems: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether carrying it out adds anything."""
        return any(count[NEW] for count in self.counts.values())


@dataclass
class _Ledger:
    """Gathers verdicts one by one."""

    counts: dict[str, dict[str, int]] = field(
        default_factory=lambda: {table: {NEW: 0, EQUAL: 0, CONFLICT: 0} for table in TABLES}
    )
    conflicts: list[dict[str, str]] = field(default_factory=list)
    conflict_total: int = 0
    files: list[PlannedFile] = field(default_factory=list)
    held_back: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)

    def note(self, table: str, key: str, verdict: str, reason: str = "", found: str = "") -> None:
        """Count one verdict; `found` tells what stands in the way, so that another thing there is another plan."""
        self.counts[table][verdict] += 1
        self.digest.update(canonical_json([table, key, verdict, reason, found]))
        if verdict == CONFLICT:
            self.conflict_total += 1
            if len(self.conflicts) < CONFLICTS_LISTED:
                self.conflicts.append({"table": table, "key": key, "reason": reason})


def compute(contents: Contents, bundle_sha256: str, store: Path, on_rows: Beat, on_bytes: Beat) -> Plan:
    """Compare a verified bundle with the database and the artifact store.

    Args:
        contents: the extracted bundle.
        bundle_sha256: of the bundle file, hex.
        store: the artifact store.
        on_rows: told how many rows have just been compared.
        on_bytes: told how many bytes of stored files have just been read.
    """
    incident_id = contents.manifest.incident_id
    planner = _Planner(contents, incident_id, store, on_rows, on_bytes)
    planner.timeline()
    planner.events()
    planner.alerts()
    planner.artifacts()
    ledger = planner.ledger
    told = {
        "bundle_sha256": bundle_sha256,
        "incident_id": incident_id,
        "counts": ledger.counts,
        "verdicts": ledger.digest.hexdigest(),
    }
    return Plan(
        counts=ledger.counts,
        conflicts=ledger.conflicts,
        conflict_total=ledger.conflict_total,
        digest=hashlib.sha256(canonical_json(told)).hexdigest(),
        files=ledger.files,
        held_back=frozenset(ledger.held_back),
        problems=tuple(ledger.problems),
    )


def _with_digest(rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """`rows` with the SHA-256 of each record as `digest`, so that records stay in the database."""
    sha256 = Func(F("record"), template="encode(sha256(convert_to(%(expressions)s, 'UTF8')), 'hex')")
    sha256.output_field = TextField()
    annotated: QuerySet[Any, Any] = rows.annotate(digest=sha256)
    return annotated


def _sha256(record: str) -> str:
    return hashlib.sha256(record.encode("ascii")).hexdigest()


@dataclass(frozen=True)
class _Stored:
    """An artifact as the database has it."""

    digest: str
    stored_path: str
    sha256: str

    def keeps(self, place: str, sha256: str) -> bool:
        """Whether its file is this one, at this place."""
        return (self.stored_path, self.sha256) == (place, sha256)


@dataclass
class _Planner:
    """Goes through one bundle, table by table."""

    contents: Contents
    incident_id: str
    store: Path
    on_rows: Beat
    on_bytes: Beat
    ledger: _Ledger = field(default_factory=_Ledger)

    def timeline(self) -> None:
        """Judge the timeline's header."""
        header = self.contents.header()
        if header is None:
            return
        rows = TimelineHeader.objects.filter(incident_id=self.incident_id)
        stored = rows.values_list("record", flat=True).first()
        if stored is None:
            self.ledger.note("timeline", "header", NEW)
        elif stored == header:
            self.ledger.note("timeline", "header", EQUAL)
        else:
            reason = "the database holds another timeline header; its own is kept"
            self.ledger.note("timeline", "header", CONFLICT, reason, _sha256(stored))

    def events(self) -> None:
        """Judge the events, and whether those found stand in the bundle's order."""
        in_order, last = True, -1
        for batch in batches(self.contents.events()):
            digests = [row.digest for row in batch]
            rows = TimelineEvent.objects.filter(incident_id=self.incident_id, event_digest__in=digests)
            found = rows.values_list("event_digest", "occurrence", "position")
            places = {(digest, occurrence): position for digest, occurrence, position in found}
            for row in batch:
                place = places.get((row.digest, row.occurrence))
                self.ledger.note("events", row.key, NEW if place is None else EQUAL)
                if place is not None:
                    in_order, last = in_order and place > last, place
            self.on_rows(len(batch))
        if not in_order:
            reason = "the database holds these events in another order; its own is kept"
            self.ledger.note("timeline", "order of events", CONFLICT, reason)

    def alerts(self) -> None:
        """Judge the alerts."""
        for batch in batches(self.contents.alerts()):
            rows = Alert.objects.filter(incident_id=self.incident_id, alert_id__in=[row.key for row in batch])
            stored = dict(_with_digest(rows).values_list("alert_id", "digest"))
            for row in batch:
                found = stored.get(row.key)
                if row.repeated:
                    reason = "the bundle holds more than one alert with this id; only the first is restored"
                    self.ledger.note("alerts", row.key, CONFLICT, reason)
                elif found is None:
                    self.ledger.note("alerts", row.key, NEW)
                elif found == _sha256(row.record):
                    self.ledger.note("alerts", row.key, EQUAL)
                else:
                    reason = "the database holds another alert with this id; its own is kept"
                    self.ledger.note("alerts", row.key, CONFLICT, reason, found)
            self.on_rows(len(batch))

    def artifacts(self) -> None:
        """Judge the artifact records with their files, then the files that no record tells of."""
        told_of: set[str] = set()
        for batch in batches(self.contents.artifacts()):
            keys = [row.key for row in batch]
            rows = ArtifactRecord.objects.filter(incident_id=self.incident_id, artifact_id__in=keys)
            found = _with_digest(rows).values_list("artifact_id", "digest", "stored_path", "sha256")
            stored = {artifact_id: _Stored(*rest) for artifact_id, *rest in found}
            for row in batch:
                self._artifact(row, stored.get(row.key))
                if row.file is not None:
                    told_of.add(row.file.path)
            self.on_rows(len(batch))
        for entry in self.contents.artifact_files():
            if entry.path not in told_of:
                reason = "no record in the bundle tells of this file; it is not restored"
                self.ledger.note("files", entry.path, CONFLICT, reason)

    def _artifact(self, row: ArtifactRow, stored: _Stored | None) -> None:
        """Judge a record and its file together: a record is added only with its file, a file only for its record."""
        if row.repeated:
            reason = "the bundle holds more than one record with this id; only the first is restored"
            self.ledger.note("artifacts", row.key, CONFLICT, reason)
            return
        verdict = NEW if stored is None else EQUAL if stored.digest == _sha256(row.record) else CONFLICT
        entry = row.file
        if entry is None:
            if self.contents.manifest.complete:
                self.ledger.problems.append(f"artifact {row.key} has a record but no file")
            self._record(row.key, verdict, stored)
            return
        if row.told_sha256 not in {"", entry.sha256}:
            self.ledger.problems.append(f"artifact {row.key}: its record tells of another SHA-256 than its file has")
        place = f"{self.incident_id}/{entry.artifact_id}/{entry.path.rsplit('/', 1)[-1]}"
        state = artifacts.state_of(self.store, place, entry.size, entry.sha256, self.on_bytes)
        file_verdict, reason = state.verdict, state.reason
        if stored and verdict == CONFLICT and file_verdict == NEW and not stored.keeps(place, entry.sha256):
            file_verdict, reason = CONFLICT, "its record is in conflict; the file is not restored"
        if verdict == NEW and file_verdict == CONFLICT:
            self.ledger.held_back.add(row.key)
            why = "its file is in conflict; the record is not added without it"
            self.ledger.note("artifacts", row.key, CONFLICT, why)
        else:
            self._record(row.key, verdict, stored)
        # A file that is there while its record does not know of it is news to the database.
        known = stored is None or verdict != EQUAL or bool(stored.stored_path)
        self.ledger.note("files", place, file_verdict if known else NEW, reason, state.sha256)
        if file_verdict != CONFLICT or verdict == EQUAL:
            self.ledger.files.append(PlannedFile(entry, row.key, place, file_verdict))

    def _record(self, key: str, verdict: str, stored: _Stored | None) -> None:
        if verdict == CONFLICT and stored is not None:
            reason = "the database holds another record with this id; its own is kept"
            self.ledger.note("artifacts", key, CONFLICT, reason, stored.digest)
        else:
            self.ledger.note("artifacts", key, verdict)
