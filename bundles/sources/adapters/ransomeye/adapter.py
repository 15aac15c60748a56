"""The adapter of the three RansomEye services; each part is a service of its own with its own URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self
from urllib.parse import quote

from bundles.sources.adapters.protocol import ArtifactRecord, Listed, Offer, Wanted
from bundles.sources.adapters.ransomeye import alerts, artifacts, timeline
from bundles.sources.client import SourceClient
from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE, Source
from bundles.sources.http_content import HttpContent
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import System
from bundles.sources.trace import Part


class RansomEyeAdapter:
    """See `protocol.Adapter`."""

    name: ClassVar[str] = "ransomeye"
    version: ClassVar[str] = "1"
    title: ClassVar[str] = "RansomEye"
    parts: ClassVar[frozenset[Source]] = frozenset({TIMELINE, ALERTS, ARTIFACTS})
    lists_incidents: ClassVar[bool] = False

    def __init__(self, system: System, part: Source, limits: SourceLimits) -> None:
        self._part = part
        self._client = SourceClient(part, system, limits)

    @classmethod
    def faults_of(cls, system: System) -> list[str]:
        """See `protocol.Adapter`; it has no options."""
        return [f"options.{name}: the adapter ransomeye has no such option." for name in sorted(system.options)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        self._client.close()

    def timeline(self, wanted: Wanted) -> Part:
        """See `protocol.Adapter`."""
        return timeline.fetch(
            self._client,
            wanted.ref,
            wanted.staging,
            wanted.tally,
            kept_as=wanted.incident_id,
            allow_partial=wanted.allow_partial,
        )

    def alerts(self, wanted: Wanted) -> Part:
        """See `protocol.Adapter`."""
        return alerts.fetch(self._client, wanted.ref, wanted.staging, wanted.tally, allow_partial=wanted.allow_partial)

    def artifacts(self, wanted: Wanted) -> tuple[Part, Sequence[ArtifactRecord]]:
        """See `protocol.Adapter`."""
        return artifacts.fetch(
            self._client, wanted.ref, wanted.staging, wanted.tally, allow_partial=wanted.allow_partial
        )

    def content(self, record: ArtifactRecord, at: int, tag: str) -> HttpContent:
        """See `protocol.Adapter`."""
        self._client.allow(max(0, (record.size or 0) - at) / self._client.limits.least_rate_bytes_s)
        path = f"{artifacts.PATH}/{quote(str(record.handle['id']), safe='')}/content"
        return HttpContent(self._client, path, record, at=at, tag=tag)

    def offer(self, ref: str) -> Offer:
        """See `protocol.Adapter`."""
        ask = {TIMELINE: timeline.offer, ALERTS: alerts.offer, ARTIFACTS: artifacts.offer}[self._part]
        return ask(self._client, ref)

    def incidents(self, most: int) -> list[Listed]:  # noqa: ARG002 -- see the protocol
        """The services cannot list incidents."""
        return []
