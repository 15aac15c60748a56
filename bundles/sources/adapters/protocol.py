"""What an adapter is: how one kind of system is asked for the parts of an incident.

`docs/sources.md` shows a whole adapter in 60 lines. An adapter is made anew for each use, for one system and one part,
and closed after it. It raises the job errors of `bundles.sources.faults`, so that the queue knows what a retry can
help with, and it leaves nothing out in silence: what it cannot read is in `Part.left_out` or is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from bundles.sources.faults import Source
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import System
from bundles.sources.trace import Part, Tally


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One incident, as an adapter is asked for a part of it.

    Attributes:
        incident_id: the incident's id here; it goes into the members.
        ref: the incident's id in the system; the same unless the request says otherwise. Untrusted text.
        staging: an existing folder for the member and scratch files.
        tally: counts records and bytes, reports progress, and stops the work when the job must end.
        allow_partial: leave out what cannot be read, named in `Part.left_out` or `Part.fault`, instead of failing.
    """

    incident_id: str
    ref: str
    staging: Path
    tally: Tally
    allow_partial: bool


@dataclass(frozen=True, kw_only=True)
class ArtifactRecord:
    """The fields of an artifact's record that are used here; the record itself is in `artifacts.json`.

    Attributes:
        artifact_id: of its path in the bundle, made from the record's id by `paths.path_id`; safe in a path.
        name: the original name; not safe as a path.
        size: bytes; None if the system does not know it before the content was read.
        sha256: 64 lowercase hexadecimal digits; None if the system does not know it.
        locations: paths in the artifact store, if the record names any; untrusted.
        handle: what the adapter needs to open the content, as JSON values; kept in the job's staging folder for its
            next attempt, and never in a bundle. No secrets.
    """

    artifact_id: str
    name: str
    size: int | None
    sha256: str | None
    locations: tuple[str, ...] = ()
    handle: Mapping[str, Any] = field(default_factory=dict)


class Content(Protocol):
    """An artifact's bytes as they arrive.

    Attributes:
        at: the position of the first byte that `read` returns: the one asked for, or 0 from a system that cannot
            continue.
        tag: proves that two answers are of the same bytes (a strong ETag); empty if there is no proof.

    It may have `encoding` (the content encoding of the bytes, which are returned as sent) and `whole` (how many bytes
    there are in all, as sent; None if unknown), as `bundles.sources.http_content.HttpContent` has.
    """

    at: int
    tag: str

    def read(self, most: int) -> bytes:
        """The next bytes, at most so many; empty at the end.

        Raises:
            bundles.sources.client.Dropped: the connection broke off or was too slow; the rest can be asked for again.
            jobs.errors.RetryableError, jobs.errors.PermanentError: it cannot.
        """
        ...

    def close(self) -> None:
        """Close the answer."""
        ...


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An incident that a system lists.

    Attributes:
        ref: its id there.
        title: as people read it there; may be empty. Untrusted text.
        at: when it began or was opened, as the system writes it; may be empty.
    """

    ref: str
    title: str = ""
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a system says that it has for one part of an incident, asked without fetching it.

    Attributes:
        records: how many records; None if it does not say.
        size_bytes: bytes of the artifacts' contents; None if it does not say.
        detail: one sentence for a person, such as what is not fetched.
    """

    records: int | None = None
    size_bytes: int | None = None
    detail: str = ""


class Adapter(Protocol):
    """Reads one part of an incident from one system.

    Attributes:
        name: as files of sources name it.
        version: of the adapter; stands in the manifest.
        title: the system's name as people know it.
        parts: what it can read.
        lists_incidents: whether `incidents` works.

    A class whose system is not asked by HTTP has `speaks_http = False` as well; whether such a system answers is told
    by a connection to the host and port of its URL.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    title: ClassVar[str]
    parts: ClassVar[frozenset[Source]]
    lists_incidents: ClassVar[bool]

    def __init__(self, system: System, part: Source, limits: SourceLimits) -> None: ...

    @classmethod
    def faults_of(cls, system: System) -> list[str]:
        """One sentence for each wrong option of the system's table, or missing extra, found without asking it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *of: object) -> None: ...

    def timeline(self, wanted: Wanted) -> Part:
        """Read the events and write `timeline.json`."""
        ...

    def alerts(self, wanted: Wanted) -> Part:
        """Read the alerts and write `alerts.json`."""
        ...

    def artifacts(self, wanted: Wanted) -> tuple[Part, Sequence[ArtifactRecord]]:
        """Read the records of the artifacts and write `artifacts.json`.

        A record without size or digest gets them once its content was received: `size`, `sha256`, and
        `"sha256_from": "received content"`.
        """
        ...

    def content(self, record: ArtifactRecord, at: int, tag: str) -> Content:
        """Open an artifact's content; used by one thread at a time, after `artifacts`.

        Args:
            record: from `artifacts`.
            at: the position to continue at; 0 at first.
            tag: of the answer that is continued; empty at first.

        Raises:
            bundles.sources.client.Dropped: there is no answer now; `Changed`: what was read cannot be continued.
            jobs.errors.RetryableError, jobs.errors.PermanentError: see `bundles.sources.faults`.
        """
        ...

    def offer(self, ref: str) -> Offer:
        """Ask what the system has for the incident, without fetching it.

        Raises:
            jobs.errors.RetryableError, jobs.errors.PermanentError: it cannot be asked, or does not know the incident.
        """
        ...

    def incidents(self, most: int) -> list[Listed]:
        """The newest incidents that the system has; only if `lists_incidents`."""
        ...
