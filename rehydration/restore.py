"""Carrying out a plan: files first, then all rows in the transaction that completes the job.

Files are put in place one by one and are worth nothing without their rows; an attempt that dies leaves files that the
next one finds equal. Rows are added and never replaced, and what was added must be what was planned.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from bundles.format.model import paths
from bundles.models import KeptTimeline
from bundles.timelines import record_index
from bundles.timelines.reading import ALERT, ARTIFACT, EVENT
from jobs.errors import RetryableError
from rehydration import artifacts
from rehydration.batches import HasRecord, batches
from rehydration.matching import CONFLICT, EQUAL, NEW
from rehydration.models import Alert, ArtifactRecord, RestoredIncident, TimelineEvent
from rehydration.plan import Plan, matcher_of_alerts, matcher_of_artifacts
from rehydration.records import Contents

LEFT_OUT_OF = {
    "timeline": "timeline", "events": "timeline", "alerts": "alerts", "artifacts": "artifacts", "files": "artifacts",
}  # fmt: skip
IN_THE_WAY = frozenset({errno.EEXIST, errno.ELOOP, errno.ENOTDIR})

_HEADER = """
INSERT INTO orchestrator_timeline_headers (incident_id, record) VALUES (%s, %s) ON CONFLICT (incident_id) DO NOTHING"""
_EVENTS = """
INSERT INTO orchestrator_timeline_events (incident_id, event_digest, occurrence, position, record)
SELECT %s, * FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::text[])
ON CONFLICT (incident_id, event_digest, occurrence) DO NOTHING"""
_ALERTS = """
INSERT INTO orchestrator_alerts (incident_id, id_type, alert_id, occurrence, timestamp, severity, title, record)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[])
ON CONFLICT (incident_id, alert_id, id_type, occurrence) DO NOTHING"""
_ARTIFACTS = """
INSERT INTO orchestrator_artifact_records
    (incident_id, id_type, artifact_id, occurrence, name, record, size, sha256, stored_path)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::integer[], %s::text[], %s::text[], %s::bigint[], %s::text[],
    %s::text[])
ON CONFLICT (incident_id, artifact_id, id_type, occurrence) DO NOTHING"""
# A record that came from a partial bundle without its file gets the file from a fuller one.
_FILES_FOUND = """
UPDATE orchestrator_artifact_records SET size = found.size, sha256 = found.sha256, stored_path = found.stored_path
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[])
    AS found (id_type, artifact_id, record, size, sha256, stored_path)
WHERE orchestrator_artifact_records.incident_id = %s
    AND orchestrator_artifact_records.artifact_id = found.artifact_id
    AND orchestrator_artifact_records.id_type = found.id_type
    AND orchestrator_artifact_records.record = found.record AND orchestrator_artifact_records.stored_path = ''"""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a restore comes from: the bundle's digest, who asked, whether the signature was checked."""

    bundle_sha256: str
    restored_by: str
    signature_checked: bool


def place_files(plan: Plan, contents: Contents, store: Path, on_file: Callable[[int], None]) -> None:
    """Put the plan's new files in place; `on_file` is called with the size of each.

    Raises:
        RetryableError: `target_changed`: something took a file's place since the plan was made.
        OSError: the disk refused.
    """
    for file in plan.files.values():
        if file.verdict != NEW:
            continue
        try:
            artifacts.place(store, contents.directory / file.entry.path, file.stored_path)
        except OSError as error:
            if error.errno in IN_THE_WAY:
                raise RetryableError("target_changed", f"Something took the place of {file.stored_path}.") from error
            raise
        on_file(file.entry.size)


def add_rows(plan: Plan, contents: Contents, origin: Origin) -> None:
    """Add the plan's new rows, inside the caller's transaction.

    Raises:
        RetryableError: `target_changed`: other rows were added than planned; the caller's transaction must not commit.
    """
    incident_id = contents.manifest.incident_id
    header = contents.header()
    planned = {table: count[NEW] for table, count in plan.counts.items()}
    added = dict.fromkeys(("timeline", "events", "alerts", "artifacts"), 0)
    if planned["timeline"]:
        added["timeline"] = _execute(_HEADER, [incident_id, header])
    if planned["events"]:
        columns: tuple[str, ...] = ("digest", "occurrence", "position", "record")
        added["events"] = _insert(_EVENTS, incident_id, contents.events(), columns)
    if planned["alerts"]:
        columns = ("id_type", "id_text", "occurrence", "timestamp", "severity", "title", "record")
        added["alerts"] = _insert(_ALERTS, incident_id, _alerts(incident_id, contents), columns)
    if planned["artifacts"]:
        columns = ("id_type", "id_text", "occurrence", "name", "record", "size", "sha256", "stored_path")
        rows = (row for row in _artifacts(incident_id, contents, plan) if row.new)
        added["artifacts"] = _insert(_ARTIFACTS, incident_id, rows, columns)
    for table, count in added.items():
        if count != planned[table]:
            raise RetryableError("target_changed", f"The database changed while the restore ran (table {table}).")
    _complete_records(incident_id, contents, plan)
    reread = _update_incident(plan, contents, origin, added)
    _index_records(incident_id, changed=reread or any(added[table] for table in ("events", "alerts", "artifacts")))


@dataclass(frozen=True)
class _AlertValues:
    """The columns of one alert."""

    id_type: str
    id_text: str
    occurrence: int
    timestamp: str
    severity: str
    title: str
    record: str


def _alerts(incident_id: str, contents: Contents) -> Iterator[_AlertValues]:
    """The new alerts, as the database has it now."""
    matcher = matcher_of_alerts(incident_id, contents)
    for batch in batches(contents.alerts()):
        for match in matcher.judge(batch):
            if match.verdict == NEW:
                row = match.row
                yield _AlertValues(*row.key, match.occurrence, row.timestamp, row.severity, row.title, row.record)


@dataclass(frozen=True)
class _ArtifactValues:
    """The columns of one artifact record, and whether the row is to be added."""

    new: bool
    id_type: str
    id_text: str
    occurrence: int
    name: str
    record: str
    size: int
    sha256: str
    stored_path: str


def _artifacts(incident_id: str, contents: Contents, plan: Plan) -> Iterator[_ArtifactValues]:
    """The records that are new or equal, as the database has it now, with the files that are in place for them."""
    matcher = matcher_of_artifacts(incident_id, contents)
    for batch in batches(contents.artifacts()):
        for match in matcher.judge(batch):
            row = match.row
            if match.verdict == CONFLICT or row.position in plan.held_back:
                continue
            placed = plan.files.get(row.file.path) if row.file else None
            size, sha256 = (row.file.size, row.file.sha256) if row.file else (0, "")
            yield _ArtifactValues(
                match.verdict == NEW, *row.key, match.occurrence, row.name, row.record, size, sha256,
                placed.stored_path if placed else "",
            )  # fmt: skip


def _complete_records(incident_id: str, contents: Contents, plan: Plan) -> None:
    if not (plan.counts["artifacts"][EQUAL] and plan.counts["files"][NEW]):
        return
    columns = ("id_type", "id_text", "record", "size", "sha256", "stored_path")
    for batch in batches(row for row in _artifacts(incident_id, contents, plan) if row.stored_path and not row.new):
        _execute(_FILES_FOUND, [*_columns(batch, columns), incident_id])


def _update_incident(plan: Plan, contents: Contents, origin: Origin, added: dict[str, int]) -> bool:
    """Update the incident's row: its counts, what no bundle has contained so far, and what was left out.

    Returns:
        Whether the rules by which its records are read changed.
    """
    manifest = contents.manifest
    row = RestoredIncident.objects.select_for_update().filter(pk=manifest.incident_id).first()
    missing = [dict(gap) for gap in manifest.missing]
    if row is None:
        row = RestoredIncident(
            incident_id=manifest.incident_id,
            restored_at=Now(),
            restored_by=origin.restored_by,
            bundle_sha256=origin.bundle_sha256,
            content_digest=manifest.content_digest,
            signature_checked=origin.signature_checked,
            has_alerts=False,
            has_artifacts=False,
        )
    else:
        missing = [gap for gap in row.missing if _subject(gap) in {_subject(other) for other in missing}]
    row.has_alerts = row.has_alerts or contents.has(paths.ALERTS)
    row.has_artifacts = row.has_artifacts or contents.has(paths.ARTIFACTS)
    row.missing = missing
    stated = {**row.rules, **record_index.stated_rules(manifest.metadata)}
    rules = {part: entry for part, entry in stated.items() if entry}
    changed = bool(rules != row.rules)
    row.rules = rules
    row.left_out.pop(origin.bundle_sha256, None)
    if left_out := _left_out(plan):
        row.left_out[origin.bundle_sha256] = left_out
    row.events += added["events"]
    row.alerts += added["alerts"]
    row.artifacts += added["artifacts"]
    row.save()
    return changed


def _left_out(plan: Plan) -> dict[str, int]:
    """Source → how many of its records and files are in the bundle and not here."""
    found: Counter[str] = Counter()
    for table, count in plan.counts.items():
        found[LEFT_OUT_OF[table]] += count[CONFLICT]
    return {source: count for source, count in found.items() if count}


def _index_records(incident_id: str, *, changed: bool) -> None:
    """Index the records that are here now for the incident's page and the search."""
    known = KeptTimeline.objects.filter(incident_id=incident_id, origin=KeptTimeline.Origin.RESTORED)
    if not changed and known.exists():
        return
    rows = {
        EVENT: TimelineEvent.objects.filter(incident_id=incident_id).order_by("position", "id"),
        ALERT: Alert.objects.filter(incident_id=incident_id),
        ARTIFACT: ArtifactRecord.objects.filter(incident_id=incident_id),
    }
    counts = {kind: found.count() for kind, found in rows.items()}
    if changed or any(counts.values()):
        lines = {kind: found.values_list("record", flat=True).iterator(chunk_size=2000) for kind, found in rows.items()}
        rules = RestoredIncident.objects.values_list("rules", flat=True).get(pk=incident_id)
        record_index.keep_restored(incident_id, lines, counts, record_index.rules_of({"sources": rules}))


def _subject(gap: dict[str, str]) -> tuple[str | None, str | None]:
    return gap.get("path"), gap.get("source")


def _insert(sql: str, incident_id: str, rows: Iterable[HasRecord], names: tuple[str, ...]) -> int:
    return sum(_execute(sql, [incident_id, *_columns(batch, names)]) for batch in batches(rows))


def _columns(batch: Sequence[HasRecord], names: tuple[str, ...]) -> list[list[Any]]:
    return [[getattr(row, name) for row in batch] for name in names]


def _execute(sql: str, parameters: list[Any]) -> int:
    """Run one statement; returns how many rows it added."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)
