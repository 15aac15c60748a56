"""The interface of evidence sources, what they return, and the registry of sources by name.

An `Evidence` is made only after every source in it was read to its end and checked. What could not be collected is in
`missing`, never left out silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from bundles.errors import SourceNotRegisteredError

Check = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """How far collecting is.

    Attributes:
        what: what is being read, such as the title of a source.
        records: records read so far, of all sources.
        received_bytes: bytes received so far, of all sources; 0 for evidence that is not received.
        answer_bytes: bytes received of the present source's answer.
        answer_total_bytes: the length of that answer, where the source states it.
    """

    what: str
    records: int
    received_bytes: int = 0
    answer_bytes: int = 0
    answer_total_bytes: int | None = None


Progress = Callable[[Fetched], None]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file to be bundled, not read yet.

    Attributes:
        artifact_id: the record's id, safe as one component of a path.
        name: the original name in the record; not safe as a path.
        size: bytes, according to the record.
        sha256: 64 lowercase hexadecimal digits, according to the record.
        open: opens a reader at the first byte, with `readinto`, and with `fileno` for a local file. The reader raises
            a job error if there are fewer or more bytes than `size`; the caller compares the hash.
    """

    artifact_id: str
    name: str
    size: int
    sha256: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The content of an incident's bundle.

    Attributes:
        members: `timeline.json`, `alerts.json`, `artifacts.json` → the canonical file in the staging directory;
            without those whose source failed.
        artifacts: the files to pack, sorted by artifact id.
        provenance: source → `{url, fetched_at, record_count, sha256}`, for the manifest's `metadata.sources`.
        missing: `{"path" | "source": …, "reason": …}` each; empty unless a partial bundle was allowed.
        counts: `events`, `alerts`, `artifacts` → number of records.
    """

    members: dict[str, Path]
    artifacts: list[Artifact]
    provenance: dict[str, Any]
    missing: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class EvidenceSource(Protocol):
    """Collects one incident."""

    def collect(
        self, incident_id: str, staging: Path, *, allow_partial: bool, on_progress: Progress, check: Check
    ) -> Evidence:
        """Collect the evidence of `incident_id`.

        Args:
            incident_id: a valid incident id.
            staging: an existing directory for the members; must exist until the artifacts have been read.
            allow_partial: list what cannot be collected in `missing` instead of failing.
            on_progress: called often, with how far collecting is.
            check: called often; raises to stop the work (cancelled, lease lost, shutting down).

        Returns:
            The evidence, with members in canonical form.

        Raises:
            jobs.errors.RetryableError: another attempt can help.
            jobs.errors.PermanentError: no other attempt can help.
        """
        ...


Factory = Callable[[Mapping[str, Any]], EvidenceSource]
_factories: dict[str, Factory] = {}


def register(name: str, factory: Factory) -> None:
    """Register the factory of the source `name` (`live`, `restored`); replaces an earlier one.

    Args:
        name: as `source` of a job's payload names it.
        factory: makes the source for a job's payload; raises a job error if it cannot.
    """
    _factories[name] = factory


def source_of(payload: Mapping[str, Any]) -> EvidenceSource:
    """A new source for a job's payload.

    Raises:
        SourceNotRegisteredError: there is none of its name.
        jobs.errors.PermanentError: it cannot be made for this payload.
    """
    name = payload["source"]
    try:
        factory = _factories[name]
    except KeyError:
        raise SourceNotRegisteredError(f"There is no evidence source named {name!r}.") from None
    return factory(payload)
