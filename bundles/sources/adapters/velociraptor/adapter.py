"""The adapter of Velociraptor: flows and hunts by its gRPC API."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import ClassVar, Self

from bundles.sources.adapters.protocol import ArtifactRecord, Content, Listed, Offer, Wanted
from bundles.sources.adapters.velociraptor import api_client, flows, options, rows, uploads
from bundles.sources.adapters.velociraptor.connection import Connection
from bundles.sources.adapters.velociraptor.options import Options
from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE, Source, misconfigured
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import System
from bundles.sources.trace import Part

MOST_LISTED = 1000


class VelociraptorAdapter:
    """See `protocol.Adapter`."""

    name: ClassVar[str] = "velociraptor"
    version: ClassVar[str] = "1"
    title: ClassVar[str] = "Velociraptor"
    parts: ClassVar[frozenset[Source]] = frozenset({TIMELINE, ALERTS, ARTIFACTS})
    lists_incidents: ClassVar[bool] = True
    speaks_http: ClassVar[bool] = False

    def __init__(self, system: System, part: Source, limits: SourceLimits) -> None:
        self._system = system
        self._part = part
        self._limits = limits
        self._made: Connection | None = None

    @classmethod
    def faults_of(cls, system: System) -> list[str]:
        """See `protocol.Adapter`."""
        read, wrong = options.read(system)
        missing = options.missing_extra()
        if missing:
            return [missing, *wrong]
        if read is not None:
            try:
                api_client.load(read.api_client_file)
            except api_client.ApiClientError as error:
                return [f"options.api_client_file: {error}"]
        return wrong

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        if self._made is not None:
            self._made.close()
            self._made = None

    def timeline(self, wanted: Wanted) -> Part:
        """See `protocol.Adapter`."""
        return rows.fetch(self._connection, self._options, wanted)

    def alerts(self, wanted: Wanted) -> Part:
        """See `protocol.Adapter`."""
        return rows.fetch(self._connection, self._options, wanted)

    def artifacts(self, wanted: Wanted) -> tuple[Part, Sequence[ArtifactRecord]]:
        """See `protocol.Adapter`."""
        return uploads.fetch(self._connection, self._options, wanted)

    def content(self, record: ArtifactRecord, at: int, tag: str) -> Content:  # noqa: ARG002 -- there is no proof of equal bytes
        """See `protocol.Adapter`."""
        if "file" in record.handle:
            return uploads.FileContent(record.handle["file"], at)
        return uploads.UploadContent(self._connection, record, at)

    def offer(self, ref: str) -> Offer:
        """See `protocol.Adapter`."""
        found = flows.find(self._connection, ref, self._options.most_flows, lambda _: None, hosts=False)
        open_flows = sum(flow.state != flows.FINISHED for flow in found.flows)
        detail = f"{len(found.flows)} flows, {open_flows} of them not finished."
        if self._part != ARTIFACTS:
            names = {name for flow in found.flows for name in flow.artifacts}
            taken = {name for name in names if self._options.rule(self._part, name)}
            stated = [flow.stated_rows.get(name) for flow in found.flows for name in flow.artifacts if name in taken]
            records = None if None in stated else sum(filter(None, stated))
            return Offer(records=records, detail=f"{detail} Of {len(names)} result artifacts, {len(taken)} are mapped.")
        counted = {
            name: [flows.count_of(flow.context.get(name)) or 0 for flow in found.flows]
            for name in ("total_uploaded_files", "total_uploaded_bytes")
        }
        return Offer(
            records=sum(counted["total_uploaded_files"]),
            size_bytes=sum(counted["total_uploaded_bytes"]),
            detail=f"{detail} Rows, logs and the flows' records come as files beside the uploads.",
        )

    def incidents(self, most: int) -> list[Listed]:
        """The newest hunts; flows are not listed, as they are kept by machine."""
        most = min(most, MOST_LISTED)
        query = flows.HUNTS.format(most=most)
        listed: list[Listed] = []
        for row in islice(self._connection.rows(query, {}, unknown="", heard=lambda _: None), most):
            if isinstance(row, dict) and isinstance(row.get("hunt_id"), str):
                title, at = row.get("hunt_description"), row.get("create_time")
                listed.append(
                    Listed(
                        ref=row["hunt_id"],
                        title=title if isinstance(title, str) else "",
                        at="" if at is None else str(at),
                    )
                )
        return listed

    @property
    def _options(self) -> Options:
        read, wrong = options.read(self._system)
        if read is None:
            raise misconfigured(self._part, " ".join(wrong))
        return read

    @property
    def _connection(self) -> Connection:
        if self._made is None:
            self._made = Connection(self._part, self._system, self._options, self._limits)
        return self._made
