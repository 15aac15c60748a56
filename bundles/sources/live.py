"""The live source: collects an incident from the KillChain, DB and Forensic services over HTTP.

Everything is read to its end and checked before the `Evidence` is made. Without `allow_partial` the first fault ends
the attempt; with it, faults are listed, unless no record at all was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from django.conf import settings

from bundles.sources.adapters.ransomeye import alerts, artifacts, timeline
from bundles.sources.adapters.ransomeye.artifacts import ArtifactRecord
from bundles.sources.client import SourceClient
from bundles.sources.collect import Artifact, Check, Evidence, Progress
from bundles.sources.content import ContentReader
from bundles.sources.faults import ALERTS, ARTIFACTS, INVALID, TIMELINE, Source, SourceFault
from bundles.sources.limits import DEFAULT_LIMITS, SourceLimits
from bundles.sources.trace import Part, Tally
from jobs.errors import PermanentError, RetryableError


@dataclass(frozen=True, kw_only=True)
class LiveSource:
    """Collects from the three services.

    Attributes:
        timeline_url: KillChain's base URL.
        alerts_url: the Alerts DB's.
        artifacts_url: the Forensic service's.
        storage: FORENSIC_STORAGE_PATH, from which artifact files may be read directly.
        timeout_s: longest wait for the next byte of a response.
        limits: all other bounds.
    """

    timeline_url: str
    alerts_url: str
    artifacts_url: str
    storage: Path
    timeout_s: float
    limits: SourceLimits = DEFAULT_LIMITS

    @classmethod
    def from_settings(cls) -> Self:
        """The source for the present settings."""
        return cls(
            timeline_url=settings.KILLCHAIN_API_URL,
            alerts_url=settings.DB_API_URL,
            artifacts_url=settings.FORENSIC_API_URL,
            storage=Path(settings.FORENSIC_STORAGE_PATH),
            timeout_s=settings.ORCH_SOURCE_TIMEOUT_SECONDS,
        )

    def collect(
        self, incident_id: str, staging: Path, *, allow_partial: bool, on_progress: Progress, check: Check
    ) -> Evidence:
        """See `collect.EvidenceSource`."""
        tally = Tally(on_progress, check)
        found = _Findings(allow_partial=allow_partial)
        with self._client(TIMELINE) as client, found.or_missing(source=TIMELINE.key):
            found.add(TIMELINE, timeline.fetch(client, incident_id, staging, tally, allow_partial=allow_partial))
        with self._client(ALERTS) as client, found.or_missing(source=ALERTS.key):
            found.add(ALERTS, alerts.fetch(client, incident_id, staging, tally, allow_partial=allow_partial))
        records: list[ArtifactRecord] = []
        with self._client(ARTIFACTS) as client, found.or_missing(source=ARTIFACTS.key):
            part, records = artifacts.fetch(client, incident_id, staging, tally, allow_partial=allow_partial)
            found.add(ARTIFACTS, part)
        found.require_records()
        content = ContentReader(self.storage, lambda: self._client(ARTIFACTS))
        for record in sorted(records, key=lambda one: one.artifact_id):
            check()
            with found.or_missing(path=record.member_path):
                proved = content.prove(record, staging, check) if allow_partial else content.locate(record)
                found.artifacts.append(proved)
        return found.evidence()

    def _client(self, source: Source) -> SourceClient:
        urls = {TIMELINE: self.timeline_url, ALERTS: self.alerts_url, ARTIFACTS: self.artifacts_url}
        return SourceClient(source, urls[source], self.timeout_s, self.limits)


class _Findings:
    """The collected parts and the faults."""

    def __init__(self, *, allow_partial: bool) -> None:
        self._allow_partial = allow_partial
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
        except SourceFault as fault:
            if not self._allow_partial:
                raise
            self._faults.append(fault)
            self._missing.append({**what, "reason": str(fault)})

    def require_records(self) -> None:
        """If there were faults and no record was found, raise one of them, a retryable one if possible."""
        if self._faults and not any(part.count for part in self.parts.values()):
            raise next((fault for fault in self._faults if isinstance(fault, RetryableError)), self._faults[0])

    def evidence(self) -> Evidence:
        """The evidence made of the parts."""
        names = {TIMELINE: "events", ALERTS: "alerts", ARTIFACTS: "artifacts"}
        return Evidence(
            members={part.member.name: part.member for part in self.parts.values()},
            artifacts=self.artifacts,
            provenance={source.key: part.provenance for source, part in self.parts.items()},
            missing=self._missing,
            counts={names[source]: part.count for source, part in self.parts.items()},
        )
