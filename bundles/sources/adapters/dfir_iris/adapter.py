"""The adapter of DFIR-IRIS: one case of one IRIS, read with the API key of a user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from bundles.sources import faults
from bundles.sources.adapters.dfir_iris import alerts, artifacts, timeline
from bundles.sources.adapters.dfir_iris.wire import ASK_OLDER, Iris
from bundles.sources.adapters.protocol import ArtifactRecord, Listed, Offer, Wanted
from bundles.sources.client import SourceClient
from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE, Source, StatusRefusedError
from bundles.sources.http_content import HttpContent
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import System
from bundles.sources.trace import Part

CASES_V2, CASES_OLDER = "/api/v2/cases", "/manage/cases/list"
WITHOUT_BYTES = "evidence_without_bytes"
KEY_HEADER = "x-iris-auth"  # the other header in which IRIS takes a key


class DfirIrisAdapter:
    """See `protocol.Adapter`."""

    name: ClassVar[str] = "dfir-iris"
    version: ClassVar[str] = "1"
    title: ClassVar[str] = "DFIR-IRIS"
    parts: ClassVar[frozenset[Source]] = frozenset({TIMELINE, ALERTS, ARTIFACTS})
    lists_incidents: ClassVar[bool] = True

    def __init__(self, system: System, part: Source, limits: SourceLimits) -> None:
        self._part = part
        self._client = SourceClient(part, system, limits)
        self._iris = Iris(self._client)
        self._without_bytes = str(system.options.get(WITHOUT_BYTES, artifacts.MISSING))

    @classmethod
    def faults_of(cls, system: System) -> list[str]:
        """See `protocol.Adapter`; its one option says what an evidence record without bytes means."""
        found = [
            f"options.{name}: the adapter dfir-iris has no such option."
            for name in sorted(system.options)
            if name != WITHOUT_BYTES
        ]
        if system.options.get(WITHOUT_BYTES, artifacts.MISSING) not in {artifacts.MISSING, artifacts.RECORD}:
            found.append(f"options.{WITHOUT_BYTES}: it is neither '{artifacts.MISSING}' nor '{artifacts.RECORD}'.")
        credential = system.credential
        if credential is None:
            found.append("token_file: IRIS needs the API key of a user.")
        elif credential.kind == "basic" or (credential.kind == "header" and credential.name.lower() != KEY_HEADER):
            found.append("token_file: IRIS takes an API key as a bearer token, or in the header X-IRIS-AUTH.")
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        self._client.close()

    def timeline(self, wanted: Wanted) -> Part:
        """See `protocol.Adapter`."""
        self._iris.tally = wanted.tally
        return timeline.fetch(self._iris, wanted)

    def alerts(self, wanted: Wanted) -> Part:
        """See `protocol.Adapter`."""
        self._iris.tally = wanted.tally
        return alerts.fetch(self._iris, wanted)

    def artifacts(self, wanted: Wanted) -> tuple[Part, Sequence[ArtifactRecord]]:
        """See `protocol.Adapter`."""
        self._iris.tally = wanted.tally
        return artifacts.fetch(self._iris, wanted, self._without_bytes)

    def content(self, record: ArtifactRecord, at: int, tag: str) -> HttpContent:
        """See `protocol.Adapter`."""
        if not at:
            self._client.allow((record.size or 0) / self._client.limits.least_rate_bytes_s)
        path, params = record.handle["path"], record.handle["params"]
        try:
            return HttpContent(self._client, path, record, at=at, tag=tag, params=params)
        except StatusRefusedError as refused:
            if refused.http_code != 400:
                raise
            what = f"it has the record of artifact {record.artifact_id}, but not its file."
            raise faults.rejected(self._part, what) from None

    def offer(self, ref: str) -> Offer:
        """See `protocol.Adapter`."""
        if self._part == ARTIFACTS:
            return artifacts.offer(self._iris, ref, self._without_bytes)
        if self._part == ALERTS:
            return alerts.offer(self._iris, ref)
        return timeline.offer(self._iris, ref)

    def incidents(self, most: int) -> list[Listed]:
        """The cases that the key's user may read, the newest first; a closed case is one, too."""
        found: list[Listed] = []

        def take(case: Any) -> None:
            number = case.get("case_id") if isinstance(case, dict) else None
            if isinstance(number, int) and not isinstance(number, bool):
                opened = case.get("open_date") or case.get("case_open_date")
                found.append(Listed(ref=str(number), title=_text(case.get("case_name")), at=_text(opened)))

        trace, bound = self._iris.scratch(), self._client.limits.page_bytes
        newest: dict[str, Any] = {"page": 1, "per_page": most, "order_by": "case_id", "sort_dir": "desc"}
        try:
            self._iris.records(CASES_V2, trace, "data", take, max_bytes=bound, **newest)
        except StatusRefusedError as refused:
            if refused.http_code not in ASK_OLDER:
                raise
            self._iris.records(CASES_OLDER, trace, "data", take, max_bytes=bound)
        return sorted(found, key=lambda one: int(one.ref), reverse=True)[:most]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
