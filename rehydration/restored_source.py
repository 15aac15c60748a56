"""The `restored` source: an incident as our own database and artifact store hold it.

Records come out as the canonical lines that came in, in the order of every other source, so a bundle of a restored
incident has the content digest of the bundle it was restored from. What no restored bundle carried is missing here too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from bundles.format.model import paths
from bundles.format.model.records import (
    ALERT_ORDER,
    ARTIFACT_ORDER,
    RecordSpool,
    parse_record,
    sort_key,
    write_timeline,
)
from bundles.sources.collect import Artifact, Check, Evidence, Progress
from bundles.sources.store import NotPlainError, StoredReader, open_beneath
from bundles.sources.trace import Tally
from bundles.storage import store_identity
from foundation.instant import rfc3339
from jobs.errors import PermanentError
from rehydration import incident_lock
from rehydration.models import Alert, ArtifactRecord, RestoredIncident, TimelineEvent, TimelineHeader
from rehydration.records import Key, path_id_of

ROWS_AT_ONCE = 1000
SOURCE_OF = {paths.TIMELINE: "timeline", paths.ALERTS: "alerts", paths.ARTIFACTS: "artifacts"}
PARTS = {"timeline": "parts of the timeline", "alerts": "alerts", "artifacts": "artifact records and files"}
LEFT_OUT = "were in conflict with what was here and left out"
NEVER_CARRIED = "no bundle restored here contained it"


class RestoredSource:
    """Collects from the restored tables and the artifact store; see `collect.EvidenceSource`."""

    def collect(
        self, incident_id: str, staging: Path, *, allow_partial: bool, on_progress: Progress, check: Check
    ) -> Evidence:
        """Write the members from the tables and list the artifacts, all as of one moment.

        Raises:
            PermanentError: `incident_unknown`: never restored here; `source_invalid`: something is missing and a
                partial bundle is not allowed.
        """
        tally = Tally(on_progress, check)
        with _undisturbed(incident_id, check):
            incident = RestoredIncident.objects.filter(pk=incident_id).first()
            if incident is None:
                raise PermanentError("incident_unknown", f"Restored: no incident {incident_id} was restored here.")
            missing = _missing(incident)
            if missing and not allow_partial:
                what, why = missing[0].get("path") or missing[0].get("source"), missing[0]["reason"]
                raise PermanentError("source_invalid", f"Restored: the incident is not complete here ({what}: {why}).")
            members: dict[str, Path] = {}
            counts: dict[str, int] = {}
            header = TimelineHeader.objects.filter(pk=incident_id).first()
            if header is not None:
                members[paths.TIMELINE] = staging / paths.TIMELINE
                events = _lines(TimelineEvent.objects.filter(incident_id=incident_id), tally, "events", counts)
                write_timeline(members[paths.TIMELINE], parse_record(header.record), events)
            if incident.has_alerts:
                lines = _lines(Alert.objects.filter(incident_id=incident_id), tally, "alerts", counts)
                members[paths.ALERTS] = _write_array(staging, paths.ALERTS, lines, ALERT_ORDER)
            if incident.has_artifacts:
                lines = _lines(ArtifactRecord.objects.filter(incident_id=incident_id), tally, "artifacts", counts)
                members[paths.ARTIFACTS] = _write_array(staging, paths.ARTIFACTS, lines, ARTIFACT_ORDER)
            files = [_artifact(row) for row in _rows_with_file(incident_id)]
        return Evidence(
            members=members,
            artifacts=files,
            provenance=_provenance(incident, members, counts),
            missing=missing,
            counts=counts,
        )


@contextmanager
def _undisturbed(incident_id: str, check: Check) -> Iterator[None]:
    """Keep restores of the incident out, so that all reads within see the same state of it.

    A lock and not a transaction: progress may be written meanwhile.
    """
    incident_lock.acquire(incident_id, check, shared=True)
    try:
        yield
    finally:
        incident_lock.release(incident_id, shared=True)


def _lines(rows: Any, tally: Tally, what: str, counts: dict[str, int]) -> Iterator[bytes]:
    """The records of `rows`, read by a server-side cursor and counted."""
    counts[what] = 0
    for record in rows.values_list("record", flat=True).iterator(chunk_size=ROWS_AT_ONCE):
        tally.add(f"Restored {what}")
        if counts[what] % ROWS_AT_ONCE == 0:
            tally.check()
        counts[what] += 1
        yield record.encode("ascii")


def _write_array(staging: Path, member: str, lines: Iterable[bytes], order: tuple[str, str]) -> Path:
    spool = RecordSpool(staging)
    for line in lines:
        spool.add(sort_key(parse_record(line), order), line)
    spool.write_array(staging / member)
    return staging / member


def _rows_with_file(incident_id: str) -> Iterator[ArtifactRecord]:
    """One row for each file: two records of one artifact share it."""
    rows = ArtifactRecord.objects.filter(incident_id=incident_id).exclude(stored_path="").defer("record")
    return rows.order_by("stored_path", "id").distinct("stored_path").iterator(chunk_size=ROWS_AT_ONCE)


def _artifact(row: ArtifactRecord) -> Artifact:
    """The stored path has what id and name were made to for the member path; the name made once more stays the same."""
    _, artifact_id, name = row.stored_path.split("/")
    return Artifact(
        artifact_id=artifact_id,
        name=name,
        size=row.size,
        sha256=row.sha256,
        open=partial(_open, row.stored_path, row.size, row.artifact_id),
    )


def _open(stored_path: str, size: int, artifact_id: str) -> BinaryIO:
    try:
        with store_identity.opened(store_identity.ARTIFACTS) as root:
            handle = open_beneath(Path(f"/proc/self/fd/{root}"), stored_path.split("/"))
    except (FileNotFoundError, NotPlainError) as error:
        what = f"Restored: the file of artifact {artifact_id} is not in the artifact store."
        raise PermanentError("source_invalid", what) from error
    return cast("BinaryIO", StoredReader(handle, size, artifact_id))


def _missing(incident: RestoredIncident) -> list[dict[str, str]]:
    """What the incident lacks here: members and files that no bundle brought, with the reason it was given then."""
    recorded: dict[str, list[dict[str, str]]] = {}  # a source may have several gaps, such as records left out
    for gap in incident.missing:
        recorded.setdefault(gap.get("path") or gap.get("source", ""), []).append(gap)
    has_timeline = TimelineHeader.objects.filter(pk=incident.pk).exists()
    present = {
        paths.TIMELINE: has_timeline, paths.ALERTS: incident.has_alerts, paths.ARTIFACTS: incident.has_artifacts,
    }  # fmt: skip
    gaps: dict[str, list[dict[str, str]]] = {}
    for member, source in SOURCE_OF.items():
        if not present[member]:
            never = [{"source": source, "reason": NEVER_CARRIED}]
            found = recorded.pop(member, None) or recorded.pop(source, None) or never
            gaps[found[0].get("path") or found[0]["source"]] = found
        else:  # what is said of its source stays: every bundle restored so far lacked something of it
            recorded.pop(member, None)
    stored = {f"{paths.ARTIFACT_FOLDER}/{row.stored_path.partition('/')[2]}" for row in _rows_with_file(incident.pk)}
    gaps.update({subject: found for subject, found in recorded.items() if subject not in stored})
    for row in ArtifactRecord.objects.filter(incident_id=incident.pk, stored_path=""):
        artifact_id = path_id_of(Key(row.id_type, row.artifact_id), row.record)
        if paths.valid_artifact_id(artifact_id):
            path = paths.artifact_path(artifact_id, str(parse_record(row.record).get("name") or ""))
            gaps.setdefault(path, [{"path": path, "reason": NEVER_CARRIED}])
    return [gap for found in gaps.values() for gap in found] + _left_out(incident)


def _left_out(incident: RestoredIncident) -> list[dict[str, str]]:
    """What restored bundles contained but conflicted with existing records."""
    return [
        {"source": source, "reason": f"{count} {PARTS[source]} of bundle {bundle_sha256[:16]} {LEFT_OUT}"}
        for bundle_sha256, counts in sorted(incident.left_out.items())
        for source, count in sorted(counts.items())
    ]


def _provenance(incident: RestoredIncident, members: dict[str, Path], counts: dict[str, int]) -> dict[str, Any]:
    fetched_at = rfc3339(datetime.now(UTC))
    names = {"timeline": "events", "alerts": "alerts", "artifacts": "artifacts"}
    made = {}
    for member, path in members.items():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        made[SOURCE_OF[member]] = {
            **incident.rules.get(SOURCE_OF[member], {}),
            "url": f"restored:{incident.pk}",
            "fetched_at": fetched_at,
            "record_count": counts[names[SOURCE_OF[member]]],
            "sha256": digest,
        }
    return made
