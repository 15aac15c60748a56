"""The provenance of one source: when and where it was read, its number of records, the hash of its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bundles.sources.collect import Check, Fetched, Progress
from bundles.sources.faults import Source
from foundation.instant import rfc3339
from jobs.errors import PermanentError, RetryableError


class Tally:
    """Counts the records of all sources, reports progress, and lets the work be stopped; for the job's thread only."""

    def __init__(self, on_progress: Progress, check: Check) -> None:
        self._on_progress = on_progress
        self.check = check
        self._what = ""
        self._records = 0
        self._received_bytes = 0
        self._answer_bytes = 0
        self._answer_total_bytes: int | None = None

    def begin(self, what: str) -> None:
        """Report that `what` is being read now."""
        self._what, self._answer_bytes, self._answer_total_bytes = what, 0, None
        self._report()

    def expect(self, answer_bytes: int) -> None:
        """Note the length of the answer that is about to be read, as its source states it."""
        self._answer_total_bytes = answer_bytes

    def receive(self, size_bytes: int) -> None:
        """Count bytes of an answer, and let the work be stopped."""
        self._received_bytes += size_bytes
        self._answer_bytes += size_bytes
        self._report()
        self.check()

    def again(self, what: str, records: int) -> None:
        """Count the records of `what` that an earlier attempt read and kept."""
        self._records += records
        self.begin(what)
        self.check()

    def add(self, what: str) -> None:
        """Count one record of `what`."""
        self._what = what
        self._records += 1
        if self._records % 100 == 0:
            self._report()

    def _report(self) -> None:
        self._on_progress(
            Fetched(
                what=self._what,
                records=self._records,
                received_bytes=self._received_bytes,
                answer_bytes=self._answer_bytes,
                answer_total_bytes=self._answer_total_bytes,
            )
        )


class Trace:
    """Collects the provenance of one source while it is read.

    Args:
        source: the source.
        url: without credentials.
        tally: counts its records.
        within: the trace over several readings, which receives the same bytes.
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
        if within is None:
            tally.begin(source.title)

    def expect(self, answer_bytes: int) -> None:
        """Note the stated length of an answer; of one that is only a page of several it says nothing."""
        if self._within is None:
            self._tally.expect(answer_bytes)

    def read(self, piece: bytes) -> None:
        """Hash bytes of a response; several pages are hashed as one stream."""
        self._hash.update(piece)
        if self._within is not None:
            self._within.read(piece)
        else:
            self._tally.receive(len(piece))

    def record(self, *, again: bool = False) -> None:
        """Count one record; `again` if progress already counted it in an earlier reading."""
        self.records += 1
        if not again:
            self._tally.add(self._source.title)

    def provenance(self) -> dict[str, Any]:
        """The source's entry in the manifest."""
        return {
            "url": self._url,
            "fetched_at": rfc3339(self._fetched_at),
            "record_count": self.records,
            "sha256": self._hash.hexdigest(),
        }


@dataclass(frozen=True)
class Part:
    """One source, read to its end: its written member and its provenance.

    Attributes:
        member: the file.
        provenance: for the manifest.
        count: number of records.
        fault: why something may be missing from it; only if a partial bundle is allowed.
        left_out: a reason for each record that was refused, or for many of them; only in a partial bundle.
    """

    member: Path
    provenance: dict[str, Any]
    count: int
    fault: RetryableError | PermanentError | None = None
    left_out: tuple[str, ...] = ()
