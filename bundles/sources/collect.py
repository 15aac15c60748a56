"""What every evidence source hands to the bundle writer, and the register of sources by name.

An `Evidence` exists only after every source that it names was read to its end and found to be of the right shape;
what could not be had is in `missing`, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from bundles.errors import SourceNotRegisteredError

Progress = Callable[[str, int, int | None], None]
Check = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One collected file, not read yet.

    Attributes:
        artifact_id: the record's id, safe as one component of a path.
        name: the true name, as the record has it; not safe as a path.
        size: bytes, as the record has it.
        sha256: 64 lowercase hexadecimal digits, as the record has it.
        open: gives a new reader from the first byte, with `readinto`, and with `fileno` for a local file. The reader
            raises a job error when the bytes are fewer or more than `size`; comparing the hash is the caller's part.
    """

    artifact_id: str
    name: str
    size: int
    sha256: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything one incident's bundle is made from.

    Attributes:
        members: `timeline.json`, `alerts.json`, `artifacts.json` → the canonical file in the staging directory;
            a member whose source failed is not there.
        artifacts: the files to pack, by artifact id.
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
        """Read everything about `incident_id`.

        Args:
            incident_id: a valid incident id.
            staging: an existing directory of the caller's own; members are written into it, and it must stay until
                the artifacts have been read.
            allow_partial: list what cannot be had in `missing` instead of failing.
            on_progress: called with (what is being read, records read so far in all, records in all or None).
            check: called often; raises to stop the work (cancelled, lease lost, stopping).

        Returns:
            The evidence, with members already in canonical form.

        Raises:
            jobs.errors.RetryableError: another try can help.
            jobs.errors.PermanentError: no other try can help.
        """
        ...


_factories: dict[str, Callable[[], EvidenceSource]] = {}


def register(name: str, factory: Callable[[], EvidenceSource]) -> None:
    """Make the source that `factory` builds known as `name` (`live`, `restored`); a repeated name replaces it."""
    _factories[name] = factory


def get(name: str) -> EvidenceSource:
    """A new source of that name.

    Raises:
        SourceNotRegisteredError: there is none.
    """
    try:
        factory = _factories[name]
    except KeyError:
        raise SourceNotRegisteredError(f"There is no evidence source named {name!r}.") from None
    return factory()
