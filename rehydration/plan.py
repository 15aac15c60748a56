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
    """

    counts: dict[str, dict[str, int]]
    conflicts: list[dict[str, str]]
    conflict_total: int
    digest: str
    files: list[PlannedFile]
    held_back: frozenset[str]

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
    ledger = _Ledger()
    incident_id = contents.manifest.incident_id
    _plan_timeline(ledger, contents, incident_id, on_rows)
    _plan_alerts(ledger, contents, incident_id, on_rows)
    _plan_artifacts(ledger, contents, incident_id, store, on_rows, on_bytes)
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
    )


def _with_digest(rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """`rows` with the SHA-256 of each record as `digest`, so that records stay in the database."""
    sha256 = Func(F("record"), template="encode(sha256(convert_to(%(expressions)s, 'UTF8')), 'hex')")
    sha256.output_field = TextField()
    return rows.annotate(digest=sha256)


def _sha256(record: str) -> str:
    return hashlib.sha256(record.encode("ascii")).hexdigest()


def _plan_timeline(ledger: _Ledger, contents: Contents, incident_id: str, on_rows: Beat) -> None:
    header = contents.header()
    if header is not None:
        stored = TimelineHeader.objects.filter(incident_id=incident_id).values_list("record", flat=True).first()
        if stored is None:
            ledger.note("timeline", "header", NEW)
        elif stored == header:
            ledger.note("timeline", "header", EQUAL)
        else:
            reason = "the database holds another timeline header; its own is kept"
            ledger.note("timeline", "header", CONFLICT, reason, _sha256(stored))
    in_order, last = True, -1
    for batch in batches(contents.events()):
        found = TimelineEvent.objects.filter(incident_id=incident_id, event_digest__in=[row.digest for row in batch])
        places = {(digest, nth): place for digest, nth, place in found.values_list(
            "event_digest", "occurrence", "position"
        )}  # fmt: skip
        for row in batch:
            place = places.get((row.digest, row.occurrence))
            ledger.note("events", row.key, NEW if place is None else EQUAL)
            if place is not None:
                in_order, last = in_order and place > last, place
        on_rows(len(batch))
    if not in_order:
        reason = "the database holds these events in another order; its own is kept"
        ledger.note("timeline", "order of events", CONFLICT, reason)


def _plan_alerts(ledger: _Ledger, contents: Contents, incident_id: str, on_rows: Beat) -> None:
    for batch in batches(contents.alerts()):
        rows = Alert.objects.filter(incident_id=incident_id, alert_id__in=[row.key for row in batch])
        stored = dict(_with_digest(rows).values_list("alert_id", "digest"))
        for row in batch:
            found = stored.get(row.key)
            if row.repeated:
                reason = "the bundle holds more than one alert with this id; only the first is restored"
                ledger.note("alerts", row.key, CONFLICT, reason)
            elif found is None:
                ledger.note("alerts", row.key, NEW)
            elif found == _sha256(row.record):
                ledger.note("alerts", row.key, EQUAL)
            else:
                reason = "the database holds another alert with this id; its own is kept"
                ledger.note("alerts", row.key, CONFLICT, reason, found)
        on_rows(len(batch))


@dataclass(frozen=True)
class _Stored:
    """An artifact as the database has it."""

    digest: str
    stored_path: str
    sha256: str


def _plan_artifacts(
    ledger: _Ledger, contents: Contents, incident_id: str, store: Path, on_rows: Beat, on_bytes: Beat
) -> None:
    told_of: set[str] = set()
    for batch in batches(contents.artifacts()):
        rows = ArtifactRecord.objects.filter(incident_id=incident_id, artifact_id__in=[row.key for row in batch])
        stored = {
            artifact_id: _Stored(digest, path, sha256)
            for artifact_id, digest, path, sha256 in _with_digest(rows).values_list(
                "artifact_id", "digest", "stored_path", "sha256"
            )
        }
        for row in batch:
            if row.file is not None:
                told_of.add(row.file.path)
            _plan_artifact(ledger, row, stored.get(row.key), incident_id, store, on_bytes)
        on_rows(len(batch))
    for entry in contents.artifact_files():
        if entry.path not in told_of:
            ledger.note("files", entry.path, CONFLICT, "no record in the bundle tells of this file; it is not restored")


def _plan_artifact(
    ledger: _Ledger, row: ArtifactRow, stored: _Stored | None, incident_id: str, store: Path, on_bytes: Beat
) -> None:
    """Judge a record and its file together: a record is added only with its file, and a file only for its record."""
    if row.repeated:
        reason = "the bundle holds more than one record with this id; only the first is restored"
        ledger.note("artifacts", row.key, CONFLICT, reason)
        return
    verdict = NEW if stored is None else EQUAL if stored.digest == _sha256(row.record) else CONFLICT
    if row.file is None:
        _note_record(ledger, row.key, verdict, stored)
        return
    entry = row.file
    place = f"{incident_id}/{entry.artifact_id}/{entry.path.rsplit('/', 1)[-1]}"
    state = artifacts.state_of(store, place, entry.size, entry.sha256, on_bytes)
    file_verdict, reason = state.verdict, state.reason
    if verdict == CONFLICT and file_verdict == NEW and stored and stored.sha256 != entry.sha256:
        file_verdict, reason = CONFLICT, "its record is in conflict; the file is not restored"
    if verdict == NEW and file_verdict == CONFLICT:
        ledger.held_back.add(row.key)
        ledger.note("artifacts", row.key, CONFLICT, "its file is in conflict; the record is not added without it")
    else:
        _note_record(ledger, row.key, verdict, stored)
    ledger.note("files", place, file_verdict, reason, state.sha256)
    if file_verdict != CONFLICT or verdict == EQUAL:
        ledger.files.append(PlannedFile(entry, row.key, place, file_verdict))


def _note_record(ledger: _Ledger, key: str, verdict: str, stored: _Stored | None) -> None:
    if verdict == CONFLICT and stored is not None:
        reason = "the database holds another record with this id; its own is kept"
        ledger.note("artifacts", key, CONFLICT, reason, stored.digest)
    else:
        ledger.note("artifacts", key, verdict)
