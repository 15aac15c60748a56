"""Reads the artifact records of an incident; each is checked before its fields are used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bundles.format.model import paths
from bundles.format.model.records import ARTIFACT_ORDER, RecordSpool, canonical_record, sort_key
from bundles.sources import faults
from bundles.sources.adapters.protocol import ArtifactRecord, Offer
from bundles.sources.client import SourceClient
from bundles.sources.jsonstream import MalformedError
from bundles.sources.limits import SourceLimits
from bundles.sources.trace import Part, Tally, Trace

MEMBER = "artifacts.json"
PATH = "/api/v1/artifacts"
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


def fetch(client: SourceClient, incident_id: str, staging: Path, tally: Tally) -> tuple[Part, list[ArtifactRecord]]:
    """Read the list and write `artifacts.json` into `staging`.

    Raises:
        jobs.errors.RetryableError: another attempt can help.
        jobs.errors.PermanentError: the response is not a list of this incident's artifacts.
    """
    trace = Trace(client.source, client.url(PATH), tally)
    spool = RecordSpool(staging)
    found: dict[str, tuple[ArtifactRecord, bytes]] = {}

    def keep(record: Any) -> None:
        artifact = _checked(record, incident_id, client.limits)
        line = canonical_record(record)
        if artifact.artifact_id not in found:
            found[artifact.artifact_id] = artifact, line
            spool.add(sort_key(record, ARTIFACT_ORDER), line)
            trace.record()
        elif found[artifact.artifact_id][1] != line:
            raise MalformedError("it has two records for one artifact")
        if len(found) > client.limits.artifacts:
            raise faults.invalid(client.source, f"it lists more than {client.limits.artifacts} artifacts.")

    _read(client, incident_id, trace, keep)
    member = staging / MEMBER
    spool.write_array(member)
    return Part(member, trace.provenance(), trace.records), [artifact for artifact, _ in found.values()]


def offer(client: SourceClient, incident_id: str) -> Offer:
    """Read the list of artifacts, which is short beside their contents; see `protocol.Adapter`."""
    sizes: list[int] = []
    trace = Trace(client.source, client.url(PATH), Tally(lambda _: None, lambda: None))
    _read(
        client, incident_id, trace, lambda record: sizes.append(_checked(record, incident_id, client.limits).size or 0)
    )
    return Offer(records=len(sizes), size_bytes=sum(sizes))


def _read(client: SourceClient, incident_id: str, trace: Trace, keep: Any) -> None:
    limits = client.limits
    listed: int | None = None
    total: object = None
    with client.document(
        "GET",
        PATH,
        max_bytes=limits.artifact_list_bytes,
        trace=trace,
        unknown=incident_id,
        params={"incident_id": incident_id},
    ) as document:
        for key in document.members():
            if key == "artifacts":
                listed = 0
                for record in document.elements(limits.record_bytes):
                    keep(record)
                    listed += 1
            else:
                value = document.value(limits.record_bytes)
                total = value if key in {"total", "total_count"} else total
        document.end()
        if listed is None:
            raise MalformedError("it has no list of artifacts")
        if total is not None and total != listed:
            raise MalformedError("its list is shorter or longer than its total says")


def _checked(record: Any, incident_id: str, limits: SourceLimits) -> ArtifactRecord:
    """The used fields of a record.

    Raises:
        MalformedError: one is missing or invalid.
    """
    if not isinstance(record, dict):
        raise MalformedError("an artifact record is not an object")
    artifact_id, name = record.get("artifact_id"), record.get("name")
    size, sha256 = record.get("size"), record.get("sha256")
    if not isinstance(artifact_id, str) or not paths.valid_artifact_id(artifact_id):
        raise MalformedError("an artifact record has no usable artifact_id")
    if record.get("incident_id") not in {None, incident_id}:
        raise MalformedError(f"the record of artifact {artifact_id} belongs to another incident")
    if not isinstance(name, str) or not name:
        raise MalformedError(f"the record of artifact {artifact_id} has no name")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= limits.artifact_bytes:
        raise MalformedError(f"the record of artifact {artifact_id} has no usable size")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise MalformedError(f"the record of artifact {artifact_id} has no usable sha256")
    places = (record.get("filepath"), record.get("stored_path"))
    locations = tuple(place for place in places if isinstance(place, str) and place)
    return ArtifactRecord(artifact_id=artifact_id, name=name, size=size, sha256=sha256.lower(), locations=locations)
