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

from bundles.format.model.canonical import canonical_json
from bundles.format.model.manifest import FileEntry
from rehydration import artifacts
from rehydration.batches import batches
from rehydration.matching import CONFLICT, EQUAL, NEW, Match, Matcher
from rehydration.models import Alert, ArtifactRecord, TimelineEvent, TimelineHeader
from rehydration.records import ArtifactRow, Contents

TABLES = ("timeline", "events", "alerts", "artifacts", "files")
CONFLICTS_LISTED = 200

OnProgress = Callable[[int], None]


@dataclass(frozen=True)
class PlannedFile:
    """One artifact file: its manifest entry, its place in the store, and what is there already."""

    entry: FileEntry
    stored_path: str
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a restore of one bundle would do.

    Attributes:
        counts: table → new, equal, conflict → rows (for `files`: files).
        conflicts: the first 200, each `{table, key, reason}`.
        conflict_total: how many there are.
        digest: SHA-256 (hex) of the plan.
        files: the files to place (new) or to leave (equal), by the path in the bundle.
        held_back: positions of artifact records that are not added since their file is in conflict.
        problems: why the bundle's records and files do not match; nothing is restored then.
    """

    counts: dict[str, dict[str, int]]
    conflicts: list[dict[str, str]]
    conflict_total: int
    digest: str
    files: dict[str, PlannedFile]
    held_back: frozenset[int]
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
    files: dict[str, PlannedFile] = field(default_factory=dict)
    held_back: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)

    def note(self, table: str, key: str, verdict: str, reason: str = "", found: str = "") -> None:
        """Count one verdict; `found` is the digest of the conflicting item, which is part of the plan."""
        self.counts[table][verdict] += 1
        self.digest.update(canonical_json([table, key, verdict, reason, found]))
        if verdict == CONFLICT:
            self.conflict_total += 1
            if len(self.conflicts) < CONFLICTS_LISTED:
                self.conflicts.append({"table": table, "key": key, "reason": reason})


def compute(contents: Contents, bundle_sha256: str, store: Path, on_rows: OnProgress, on_bytes: OnProgress) -> Plan:
    """Compare a verified bundle with the database and the artifact store.

    Args:
        contents: the extracted bundle.
        bundle_sha256: of the bundle file, hex.
        store: the artifact store.
        on_rows: called with the number of rows just compared.
        on_bytes: called with the number of bytes of stored files just read.
    """
    incident_id = contents.manifest.incident_id
    planner = _Planner(contents, incident_id, store, on_rows, on_bytes)
    planner.timeline()
    planner.events()
    planner.alerts()
    planner.artifacts()
    ledger = planner.ledger
    digested = {
        "bundle_sha256": bundle_sha256,
        "incident_id": incident_id,
        "counts": ledger.counts,
        "verdicts": ledger.digest.hexdigest(),
    }
    return Plan(
        counts=ledger.counts,
        conflicts=ledger.conflicts,
        conflict_total=ledger.conflict_total,
        digest=hashlib.sha256(canonical_json(digested)).hexdigest(),
        files=ledger.files,
        held_back=frozenset(ledger.held_back),
        problems=tuple(ledger.problems),
    )


def _sha256(record: str) -> str:
    return hashlib.sha256(record.encode("ascii")).hexdigest()


def matcher_of_alerts(incident_id: str, contents: Contents) -> Matcher:
    """The matcher for the bundle's alerts."""
    return Matcher(Alert.objects.filter(incident_id=incident_id), "alert_id", contents.repeated_alerts())


def matcher_of_artifacts(incident_id: str, contents: Contents) -> Matcher:
    """The matcher for the bundle's artifact records; stored rows include `stored_path` and `sha256`."""
    rows = ArtifactRecord.objects.filter(incident_id=incident_id)
    return Matcher(rows, "artifact_id", contents.repeated_artifacts(), ("stored_path", "sha256"))


@dataclass
class _Planner:
    """Goes through one bundle, table by table."""

    contents: Contents
    incident_id: str
    store: Path
    on_rows: OnProgress
    on_bytes: OnProgress
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
            reason = "the database has a different timeline header, which is kept"
            self.ledger.note("timeline", "header", CONFLICT, reason, _sha256(stored))

    def events(self) -> None:
        """Judge the events, and whether the stored ones are in the bundle's order."""
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
            reason = "the database has these events in a different order, which is kept"
            self.ledger.note("timeline", "order of events", CONFLICT, reason)

    def alerts(self) -> None:
        """Judge the alerts."""
        matcher = matcher_of_alerts(self.incident_id, self.contents)
        for batch in batches(self.contents.alerts()):
            for match in matcher.judge(batch):
                reason = "the database has a different alert with this id, which is kept"
                self._note("alerts", match, reason)
            self.on_rows(len(batch))

    def artifacts(self) -> None:
        """Judge the artifact records with their files, then the files without a record."""
        matcher = matcher_of_artifacts(self.incident_id, self.contents)
        judged: dict[str, str] = {}
        for batch in batches(self.contents.artifacts()):
            for match in matcher.judge(batch):
                self._artifact(match, judged)
            self.on_rows(len(batch))
        for entry in self.contents.artifact_files():
            if entry.path not in judged:
                reason = "no record in the bundle describes this file; it is not restored"
                self.ledger.note("files", entry.path, CONFLICT, reason)

    def _artifact(self, match: Match[ArtifactRow], judged: dict[str, str]) -> None:
        """Judge a record and its file together: a record is added only with its file, a file only for its record.

        Args:
            match: the record.
            judged: path in the bundle → verdict, of the files so far; a file that two records share is judged once.
        """
        row, entry = match.row, match.row.file
        if entry is None:
            if self.contents.manifest.complete and row.key.id_type != "none":  # without an id it needs no file
                self.ledger.problems.append(f"artifact {row.key} has a record but no file")
            self._record(match)
            return
        if row.recorded_sha256 not in {"", entry.sha256}:
            self.ledger.problems.append(f"artifact {row.key}: the SHA-256 in its record differs from that of its file")
        if entry.path not in judged:
            judged[entry.path] = self._file(match, entry)
        if match.verdict == NEW and judged[entry.path] == CONFLICT:
            self.ledger.held_back.add(row.position)
            why = "its file is in conflict; the record is not added without it"
            self.ledger.note("artifacts", str(row.key), CONFLICT, why)
        else:
            self._record(match)

    def _file(self, match: Match[ArtifactRow], entry: FileEntry) -> str:
        """Judge a file, for its first record."""
        place = f"{self.incident_id}/{entry.artifact_id}/{entry.path.rsplit('/', 1)[-1]}"
        state = artifacts.state_of(self.store, place, entry.size, entry.sha256, self.on_bytes)
        verdict, reason = state.verdict, state.reason
        known = match.stored.columns if match.stored else ("", "")  # stored_path and sha256
        if match.verdict == CONFLICT and verdict == NEW and known != (place, entry.sha256):
            verdict, reason = CONFLICT, "its record is in conflict; the file is not restored"
        # A stored file that its record does not name yet is new to the database.
        news = match.verdict == EQUAL and not known[0]
        self.ledger.note("files", place, NEW if news else verdict, reason, state.sha256)
        if verdict != CONFLICT or match.verdict == EQUAL:
            self.ledger.files[entry.path] = PlannedFile(entry, place, verdict)
        return verdict

    def _record(self, match: Match[ArtifactRow]) -> None:
        self._note("artifacts", match, "the database has a different record with this id, which is kept")

    def _note(self, table: str, match: Match[Any], reason: str) -> None:
        if match.verdict == CONFLICT and match.stored is not None:
            self.ledger.note(table, str(match.row.key), CONFLICT, reason, match.stored.digest)
        else:
            self.ledger.note(table, str(match.row.key), match.verdict)
