"""What is remembered while one source is read: when, from where, how many records, the hash of its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bundles.sources.collect import Check, Progress
from bundles.sources.faults import Source
from jobs.errors import PermanentError, RetryableError


class Tally:
    """Records read so far over all sources; tells progress and lets the work be stopped."""

    def __init__(self, on_progress: Progress, check: Check) -> None:
        self._on_progress = on_progress
        self.check = check
        self._done = 0

    def add(self, what: str) -> None:
        """Count one record of `what`."""
        self._done += 1
        if self._done % 100 == 0:
            self.tell(what)

    def tell(self, what: str) -> None:
        """Say that `what` is being read."""
        self._on_progress(what, self._done, None)


class Trace:
    """The provenance of one source, in the making.

    Args:
        source: which.
        url: where it is read from, without credentials.
        tally: counts its records.
        within: the trace of several readings that this one is part of; it learns the same bytes.
    """

    def __init__(self, source: Source, url: str, tally: Tally, *, within: Trace | None = None) -> None:
        self._source = source
        self._url = url
        self._tally = tally
        self._within = within
        self._hash = hashlib.sha256()
        self._fetched_at = datetime.now(UTC)
        self.records = 0
        tally.check()
        tally.tell(source.title)

    def read(self, piece: bytes) -> None:
        """Hash bytes of a response; responses of several pages are hashed as one."""
        self._hash.update(piece)
        if self._within is not None:
            self._within.read(piece)
        else:
            self._tally.check()

    def record(self, *, again: bool = False) -> None:
        """Count one record; `again` when progress has counted it in an earlier reading."""
        self.records += 1
        if not again:
            self._tally.add(self._source.title)

    def provenance(self) -> dict[str, Any]:
        """What the manifest says of this source."""
        return {
            "url": self._url,
            "fetched_at": self._fetched_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "record_count": self.records,
            "sha256": self._hash.hexdigest(),
        }


@dataclass(frozen=True)
class Part:
    """One source, read to its end: its member, written, and where it came from.

    Attributes:
        member: the file.
        provenance: for the manifest.
        count: records in it.
        fault: why something may be missing from it; only where a partial bundle is allowed.
    """

    member: Path
    provenance: dict[str, Any]
    count: int
    fault: RetryableError | PermanentError | None = None
