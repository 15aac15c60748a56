"""The live source: collects an incident from the systems of a source profile.

What was read to its end and checked is kept in the staging folder, so that a collection that was ended, or killed, is
continued by the next one in the same folder (`kept`).

Everything is read to its end and checked before the `Evidence` is made. Without `allow_partial` the first fault ends
the attempt; with it, faults are listed, unless no record at all was found.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from django.conf import settings

from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.sources import completed, configured, content, waiting
from bundles.sources.adapters import registry
from bundles.sources.adapters.protocol import Adapter, ArtifactRecord, Wanted
from bundles.sources.collect import Artifact, Check, Evidence, Progress
from bundles.sources.configured import ProfileUnknownError
from bundles.sources.faults import (
    ALERTS,
    ARTIFACTS,
    INVALID,
    MISCONFIGURED,
    TIMELINE,
    UNAVAILABLE,
    UNKNOWN,
    Source,
    SourceFault,
)
from bundles.sources.fetching import Fetcher
from bundles.sources.kept import Kept
from bundles.sources.limits import DEFAULT_LIMITS, SourceLimits
from bundles.sources.profiles import PARTS, Profile
from bundles.sources.trace import Part, Tally
from bundles.sources.transfer import Received
from bundles.storage.journal import BusyError
from jobs.errors import PermanentError, RetryableError

BUSY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class LiveSource:
    """Collects from the systems of a profile.

    Attributes:
        profile: the systems.
        refs: system → the incident's id there, where it differs.
        storage: FORENSIC_STORAGE_PATH, from which artifact files may be read directly.
        limits: all other bounds.
    """

    profile: Profile
    storage: Path
    refs: Mapping[str, str] = field(default_factory=dict)
    limits: SourceLimits = DEFAULT_LIMITS

    @classmethod
    def for_payload(cls, payload: Mapping[str, Any]) -> Self:
        """The source for a job's payload: its `profile` and its `refs`.

        Raises:
            jobs.errors.PermanentError: `source_misconfigured`: the profile is no longer there, or has other systems.
        """
        try:
            profile = configured.current().get(str(payload.get("profile", "")))
        except ProfileUnknownError as error:
            raise PermanentError(MISCONFIGURED, f"{error} It may have been removed after the job was made.") from None
        refs = dict(payload.get("refs", {}))
        if faults_found := configured.refs_faults(profile, refs):
            name, says = next(iter(faults_found.items()))
            raise PermanentError(MISCONFIGURED, f"{name}: {says}. The file of sources may have changed since.")
        return cls(profile=profile, refs=refs, storage=Path(settings.FORENSIC_STORAGE_PATH))

    def collect(
        self, incident_id: str, staging: Path, *, allow_partial: bool, on_progress: Progress, check: Check
    ) -> Evidence:
        """See `collect.EvidenceSource`; continues what an earlier call with the same arguments left in `staging`."""
        tally = Tally(on_progress, check)
        found = _Findings(self, allow_partial=allow_partial)
        with waiting.stopped_by(check), _opened(staging, self._request(incident_id, allow_partial), check) as kept:
            wanted = {
                part: Wanted(
                    incident_id=incident_id,
                    ref=self.ref(part, incident_id),
                    staging=kept.reading,
                    tally=tally,
                    allow_partial=allow_partial,
                )
                for part in self.profile.systems
            }
            if TIMELINE in wanted:
                with found.or_missing(source=TIMELINE.key):
                    found.add(TIMELINE, self._member(kept, TIMELINE, wanted, lambda adapter: adapter.timeline))
            if ALERTS in wanted:
                with found.or_missing(source=ALERTS.key):
                    found.add(ALERTS, self._member(kept, ALERTS, wanted, lambda adapter: adapter.alerts))
            records: Sequence[ArtifactRecord] = []
            if ARTIFACTS in wanted:
                with found.or_missing(source=ARTIFACTS.key):
                    part, records = self._artifact_records(kept, wanted)
                    found.add(ARTIFACTS, part)
            found.require_records()
            self._contents(kept, sorted(records, key=lambda one: one.artifact_id), found, tally)
            found.complete_records(records, kept.reading)
            return found.evidence(incident_id)

    def _request(self, incident_id: str, allow_partial: bool) -> str:  # noqa: FBT001
        """A digest of all that decides what is fetched."""
        parts = {
            part.key: {
                **self.identity(part, incident_id),
                "url": system.url,
                "page_records": system.page_records,
                "options": repr(sorted(system.options.items())),
            }
            for part, system in self.profile.systems.items()
        }
        request = {"incident_id": incident_id, "allow_partial": allow_partial, "parts": parts}
        return hashlib.sha256(canonical_json(request)).hexdigest()

    def _member(
        self,
        kept: Kept,
        part: Source,
        wanted: Mapping[Source, Wanted],
        read: Callable[[Adapter], Callable[[Wanted], Part]],
    ) -> Part:
        """A part, from an earlier attempt if it was kept."""
        known = kept.part(part)
        if known is not None:
            wanted[part].tally.again(part.title, known.count)
            return known
        with self.adapter(part) as adapter:
            return kept.keep(part, read(adapter)(wanted[part]))

    def _artifact_records(self, kept: Kept, wanted: Mapping[Source, Wanted]) -> tuple[Part, Sequence[ArtifactRecord]]:
        known, records = kept.part(ARTIFACTS), kept.records()
        if known is not None and records is not None:
            wanted[ARTIFACTS].tally.again(ARTIFACTS.title, known.count)
            return known, records
        with self.adapter(ARTIFACTS) as adapter:
            part, read = adapter.artifacts(wanted[ARTIFACTS])
        kept.keep_records(read)
        return kept.keep(ARTIFACTS, part), read

    def _contents(self, kept: Kept, records: Sequence[ArtifactRecord], found: _Findings, tally: Tally) -> None:
        """Find each content in the store, or fetch it; in the order of the records."""
        store = content.StoreReader(self.storage)
        outcomes: dict[int, Artifact | Received | RetryableError | PermanentError] = {}
        for index, record in enumerate(records):
            tally.check()
            try:
                artifact = store.locate(record)
                if artifact is not None:
                    prove = found.allow_partial or record.size is None or record.sha256 is None
                    outcomes[index] = store.prove(record, artifact, tally.check) if prove else artifact
            except (RetryableError, PermanentError) as fault:
                if not found.allow_partial:
                    raise
                outcomes[index] = fault
        remote = [index for index in range(len(records)) if index not in outcomes]
        fetched = self._fetch(kept, [records[index] for index in remote], found, tally)
        outcomes.update(zip(remote, fetched, strict=True))
        for index, record in enumerate(records):
            with found.or_missing(path=paths.artifact_path(record.artifact_id, record.name)):
                outcome = outcomes[index]
                if isinstance(outcome, RetryableError | PermanentError):
                    raise outcome
                found.artifacts.append(content.fetched(record, outcome) if isinstance(outcome, Received) else outcome)

    def _fetch(
        self, kept: Kept, records: Sequence[ArtifactRecord], found: _Findings, tally: Tally
    ) -> list[Received | RetryableError | PermanentError]:
        if not records:
            return []
        system = self.profile.systems[ARTIFACTS]
        sizes = [record.size for record in records if record.size is not None]
        tally.begin(ARTIFACTS.title)
        if len(sizes) == len(records):
            tally.expect(sum(sizes))
        fetcher = Fetcher(
            connect=lambda: self.adapter(ARTIFACTS), kept=kept, limits=self.limits, timeout_s=system.timeout_s,
            connections=system.connections, tally=tally, go_on=found.allow_partial,
        )  # fmt: skip
        return fetcher.fetch(records)

    def adapter(self, part: Source) -> Adapter:
        """A new adapter for a part of the profile."""
        system = self.profile.systems[part]
        pages = {} if system.page_records is None else {"page_records": system.page_records}
        named = configured.part_of(part, system)
        return registry.get(system.adapter)(system, named, replace(self.limits, **pages))

    def ref(self, part: Source, incident_id: str) -> str:
        """The incident's id in the system of a part."""
        return self.refs.get(self.profile.systems[part].name, incident_id)

    def identity(self, part: Source, incident_id: str) -> dict[str, Any]:
        """By which adapter and profile a part was read, for the manifest."""
        system = self.profile.systems[part]
        adapter = registry.get(system.adapter)
        entry: dict[str, Any] = {
            "adapter": adapter.name,
            "adapter_version": adapter.version,
            "profile": self.profile.name,
            "ref": self.ref(part, incident_id),
            "system": system.name,
        }
        if system.severities:
            entry["severities"] = system.severities
        if system.times:
            entry["times"] = dict(system.times)
        return entry


@contextmanager
def _opened(staging: Path, request: str, check: Check) -> Iterator[Kept]:
    """Open the staging folder; wait a little for an attempt that is about to notice that it lost its lease."""
    give_up_at = time.monotonic() + BUSY_S
    while True:
        try:
            kept = Kept(staging, request)
            break
        except BusyError:
            if time.monotonic() > give_up_at:
                what = "Another attempt at this job still writes into its staging folder."
                raise RetryableError(UNAVAILABLE, what) from None
            waiting.pause(0.1)
            check()
    with kept:
        yield kept


class _Findings:
    """The collected parts and the faults."""

    def __init__(self, source: LiveSource, *, allow_partial: bool) -> None:
        self._source = source
        self.allow_partial = allow_partial
        self._faults: list[Exception] = []
        self._missing: list[dict[str, str]] = []
        self.parts: dict[Source, Part] = {}
        self.artifacts: list[Artifact] = []

    def add(self, source: Source, part: Part) -> None:
        """Add a part; its fault, if any, and the records it had to leave out are listed as missing."""
        self.parts[source] = part
        for reason in part.left_out:
            self._faults.append(PermanentError(INVALID, reason))
            self._missing.append({"source": source.key, "reason": reason})
        if part.fault is not None:
            with self.or_missing(source=source.key):
                raise part.fault

    @contextmanager
    def or_missing(self, **what: str) -> Iterator[None]:
        """List a fault in the block as missing, if a partial bundle is allowed.

        Args:
            what: `source` or `path`: what is missing in case of a fault.
        """
        try:
            yield
        except SourceFault as error:
            fault = self._unknown_here_alone(error)
            if not self.allow_partial:
                if fault is error:
                    raise
                raise fault from error
            self._faults.append(fault)
            self._missing.append({**what, "reason": str(fault)})

    def _unknown_here_alone(self, fault: Exception) -> Exception:
        """The fault, and which other parts know the incident if one does not: then its id is hardly wrong."""
        known = ", ".join(source.key for source in self.parts)
        if not known or not isinstance(fault, PermanentError) or fault.code != UNKNOWN:
            return fault
        return PermanentError(UNKNOWN, f"{fault} It is known elsewhere: {known}.")

    def complete_records(self, records: Sequence[ArtifactRecord], folder: Path) -> None:
        """Write into `artifacts.json` what records do not say about contents that were received."""
        lacking = {record.artifact_id for record in records if record.size is None or record.sha256 is None}
        part = self.parts.get(ARTIFACTS)
        got = {artifact.artifact_id: artifact for artifact in self.artifacts if artifact.artifact_id in lacking}
        if part is not None and got:
            self.parts[ARTIFACTS] = replace(part, member=completed.write(part.member, got, folder))

    def require_records(self) -> None:
        """If there were faults and no record was found, raise one of them, a retryable one if possible."""
        if self._faults and not any(part.count for part in self.parts.values()):
            raise next((fault for fault in self._faults if isinstance(fault, RetryableError)), self._faults[0])

    def evidence(self, incident_id: str) -> Evidence:
        """The evidence made of the parts."""
        names = {TIMELINE: "events", ALERTS: "alerts", ARTIFACTS: "artifacts"}
        profile = self._source.profile
        reason = f"the source profile {profile.name} names no system for it."
        not_asked = [{"source": part.key, "reason": reason} for part in PARTS if part not in profile.systems]
        return Evidence(
            members={part.member.name: part.member for part in self.parts.values()},
            artifacts=self.artifacts,
            provenance={
                source.key: {**part.provenance, **self._source.identity(source, incident_id)}
                for source, part in self.parts.items()
            },
            missing=[*self._missing, *not_asked],
            counts={names[source]: part.count for source, part in self.parts.items()},
        )
