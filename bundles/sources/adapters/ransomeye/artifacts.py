"""Reads the artifact records of an incident; each is checked before its fields are used.

A record that cannot be used is refused alone. Records of one id: equal ones are one record; different ones with the
same size and SHA-256 are all kept, and share the file; with other content only the first is kept, as the id is all that
a file can be requested by.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundles.format.model import paths
from bundles.format.model.records import ARTIFACT_ORDER, RecordSpool, canonical_record, sort_key
from bundles.sources import faults
from bundles.sources.adapters.protocol import ArtifactRecord, Offer
from bundles.sources.client import SourceClient
from bundles.sources.jsonfault import shown
from bundles.sources.jsonstream import JsonStream, MalformedError, Refused
from bundles.sources.limits import SourceLimits
from bundles.sources.record_ids import ID_RULE, usable_id
from bundles.sources.refusals import Refusals
from bundles.sources.repeats import Repeats
from bundles.sources.trace import Part, Tally, Trace

MEMBER = "artifacts.json"
PATH = "/api/v1/artifacts"
ID_FIELD = "artifact_id"
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


class _UnusableError(Exception):
    """A field of a record cannot be used."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


@dataclass
class _Held:
    """The records of one id.

    Attributes:
        artifact: the first.
        position: of the first.
        digests: of the different records' canonical lines.
    """

    artifact: ArtifactRecord
    position: int
    digests: set[bytes]


class _Records:
    """Takes the records one by one.

    Args:
        incident_id: whose records.
        client: of the Forensic service.
        staging: for scratch files.
        trace: counts the records kept.
        refusals: receives those that cannot be used.
    """

    def __init__(self, incident_id: str, client: SourceClient, staging: Path, trace: Trace, refusals: Refusals) -> None:
        self._incident_id = incident_id
        self._client = client
        self._trace = trace
        self._refusals = refusals
        self._held: dict[str, _Held] = {}
        self.spool = RecordSpool(staging)
        self.repeats = Repeats("artifact record")

    def take(self, record: Any, document: JsonStream) -> None:
        """Keep a record, or refuse it."""
        if isinstance(record, Refused):
            self._refusals.add(record)
            return
        try:
            self._keep(record, document.position)
        except _UnusableError as fault:
            named = record.get(ID_FIELD) if isinstance(record, dict) else None
            record_id = named if usable_id(named) else None
            self._refusals.add(document.refused(record, fault.reason, field=fault.field, record_id=record_id))

    def artifacts(self) -> list[ArtifactRecord]:
        """The artifacts of the records kept, each once."""
        return [held.artifact for held in self._held.values()]

    def _keep(self, record: Any, position: int) -> None:
        artifact = _checked(record, self._incident_id, self._client.limits)
        line = canonical_record(record)
        digest = hashlib.sha256(line).digest()
        held = self._held.get(artifact.artifact_id)
        if held is None:
            if len(self._held) >= self._client.limits.artifacts:
                most = self._client.limits.artifacts
                raise faults.invalid(self._client.source, f"it lists more than {most} artifacts.")
            self._held[artifact.artifact_id] = _Held(artifact, position, {digest})
        elif digest in held.digests:
            self.repeats.add_equal(position)
            return
        elif (artifact.size, artifact.sha256) != (held.artifact.size, held.artifact.sha256):
            reason = f"record {held.position} has the same id and other content, and a file is known by its id alone"
            raise _UnusableError(ID_FIELD, reason)
        else:
            held.digests.add(digest)
            self.repeats.add_same_id(record[ID_FIELD], held.position, position)
        self.spool.add(sort_key(record, ARTIFACT_ORDER), line)
        self._trace.record()


def fetch(
    client: SourceClient, incident_id: str, staging: Path, tally: Tally, *, allow_partial: bool = False
) -> tuple[Part, list[ArtifactRecord]]:
    """Read the list and write `artifacts.json` into `staging`.

    Args:
        client: of the Forensic service.
        incident_id: the incident.
        staging: for the member and scratch files.
        tally: counts the records.
        allow_partial: leave out records that cannot be used, and name them in the part.

    Raises:
        jobs.errors.RetryableError: another attempt can help.
        jobs.errors.PermanentError: the response is not a list of this incident's artifacts, or a record cannot be used
            and a partial bundle is not allowed.
    """
    trace = Trace(client.source, client.url(PATH), tally)
    refusals = Refusals(client.source, "artifact record", allowed=allow_partial)
    records = _Records(incident_id, client, staging, trace, refusals)
    _read(client, incident_id, trace, records)
    member = staging / MEMBER
    records.spool.write_array(member)
    provenance = {**trace.provenance(), **records.repeats.stated()}
    return Part(member, provenance, trace.records, left_out=refusals.reasons()), records.artifacts()


def offer(client: SourceClient, incident_id: str) -> Offer:
    """Read the list of artifacts, which is short beside their contents; see `protocol.Adapter`."""
    trace = Trace(client.source, client.url(PATH), Tally(lambda _: None, lambda: None))
    refusals = Refusals(client.source, "artifact record", allowed=True)
    with tempfile.TemporaryDirectory() as scratch:
        records = _Records(incident_id, client, Path(scratch), trace, refusals)
        _read(client, incident_id, trace, records)
    artifacts = records.artifacts()
    left_out = f"{refusals.count} records cannot be used." if refusals.count else ""
    return Offer(records=len(artifacts), size_bytes=sum(one.size or 0 for one in artifacts), detail=left_out)


def _read(client: SourceClient, incident_id: str, trace: Trace, records: _Records) -> None:
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
                for record in document.records(limits.record_bytes, ids=(ID_FIELD,)):
                    records.take(record, document)
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
        _UnusableError: one is missing or invalid.
    """
    if not isinstance(record, dict):
        raise _UnusableError("", "it is not an object")
    record_id, name = record.get(ID_FIELD), record.get("name")
    size, sha256 = record.get("size"), record.get("sha256")
    if not isinstance(record_id, str | int) or not usable_id(record_id):
        raise _UnusableError(ID_FIELD, ID_RULE)
    if record_id in (".", "..") or any("\ud800" <= character <= "\udfff" for character in str(record_id)):
        raise _UnusableError(ID_FIELD, "it is a dot name or has a lone surrogate; no URL for its file can have that")
    if record.get("incident_id") not in (None, incident_id):
        raise _UnusableError("incident_id", f"it belongs to another incident than {shown(incident_id)}")
    if not isinstance(name, str) or not name:
        raise _UnusableError("name", "it must be a text that is not empty")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= limits.artifact_bytes:
        raise _UnusableError("size", f"it must be a whole number from 0 to {limits.artifact_bytes}")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise _UnusableError("sha256", "it must be 64 hexadecimal digits")
    places = (record.get("filepath"), record.get("stored_path"))
    locations = tuple(place for place in places if isinstance(place, str) and place)
    return ArtifactRecord(
        artifact_id=paths.path_id(record_id),
        name=name,
        size=size,
        sha256=sha256.lower(),
        locations=locations,
        handle={"id": str(record_id)},
    )
