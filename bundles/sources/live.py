"""The live source: collects an incident from the systems of a source profile.

Everything is read to its end and checked before the `Evidence` is made. Without `allow_partial` the first fault ends
the attempt; with it, faults are listed, unless no record at all was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from django.conf import settings

from bundles.format.model import paths
from bundles.sources import configured
from bundles.sources.adapters import registry
from bundles.sources.adapters.protocol import Adapter, ArtifactRecord, Wanted
from bundles.sources.collect import Artifact, Check, Evidence, Progress
from bundles.sources.configured import ProfileUnknownError
from bundles.sources.content import ContentReader
from bundles.sources.faults import ALERTS, ARTIFACTS, MISCONFIGURED, TIMELINE, Source, SourceFault
from bundles.sources.limits import DEFAULT_LIMITS, SourceLimits
from bundles.sources.profiles import PARTS, Profile
from bundles.sources.trace import Part, Tally
from jobs.errors import PermanentError, RetryableError


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
        """See `collect.EvidenceSource`."""
        tally = Tally(on_progress, check)
        found = _Findings(self, allow_partial=allow_partial)

        def wanted(part: Source) -> Wanted:
            return Wanted(
                incident_id=incident_id,
                ref=self.ref(part, incident_id),
                staging=staging,
                tally=tally,
                allow_partial=allow_partial,
            )

        if TIMELINE in self.profile.systems:
            with self.adapter(TIMELINE) as adapter, found.or_missing(source=TIMELINE.key):
                found.add(TIMELINE, adapter.timeline(wanted(TIMELINE)))
        if ALERTS in self.profile.systems:
            with self.adapter(ALERTS) as adapter, found.or_missing(source=ALERTS.key):
                found.add(ALERTS, adapter.alerts(wanted(ALERTS)))
        records: Sequence[ArtifactRecord] = []
        if ARTIFACTS in self.profile.systems:
            with self.adapter(ARTIFACTS) as adapter, found.or_missing(source=ARTIFACTS.key):
                part, records = adapter.artifacts(wanted(ARTIFACTS))
                found.add(ARTIFACTS, part)
        found.require_records()
        content = ContentReader(self.storage, lambda: self.adapter(ARTIFACTS), self.limits)
        for record in sorted(records, key=lambda one: one.artifact_id):
            check()
            with found.or_missing(path=paths.artifact_path(record.artifact_id, record.name)):
                read_now = allow_partial or record.size is None or record.sha256 is None
                found.artifacts.append(content.prove(record, staging, check) if read_now else content.locate(record))
        return found.evidence(incident_id)

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


class _Findings:
    """The collected parts and the faults."""

    def __init__(self, source: LiveSource, *, allow_partial: bool) -> None:
        self._source = source
        self._allow_partial = allow_partial
        self._faults: list[Exception] = []
        self._missing: list[dict[str, str]] = []
        self.parts: dict[Source, Part] = {}
        self.artifacts: list[Artifact] = []

    def add(self, source: Source, part: Part) -> None:
        """Add a part; its fault, if any, is listed as missing."""
        self.parts[source] = part
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
        except SourceFault as fault:
            if not self._allow_partial:
                raise
            self._faults.append(fault)
            self._missing.append({**what, "reason": str(fault)})

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
