"""Fetches the contents of many artifacts in parallel, over connections that are kept.

Each thread has an adapter of its own and takes one artifact after the other, the largest first, so that one large file
does not hold up many small ones. The threads have no database connection and report nothing: the thread of the job
counts for them and lets the work be stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bundles.sources import waiting
from bundles.sources.adapters.protocol import Adapter, ArtifactRecord
from bundles.sources.faults import SourceFault
from bundles.sources.kept import Kept
from bundles.sources.limits import SourceLimits
from bundles.sources.trace import Tally
from bundles.sources.transfer import Received, Transfer
from jobs.errors import PermanentError, RetryableError

LOOK_EVERY_S = 0.1
Outcome = Received | RetryableError | PermanentError


class _StoppedError(Exception):
    """The job's thread wants the work to end."""


@dataclass(kw_only=True)
class Fetcher:
    """Fetches contents into the staging folder of a job.

    Attributes:
        connect: makes a new adapter for the artifacts.
        kept: the folder.
        limits: of each content.
        timeout_s: of the system.
        connections: how many threads at most.
        tally: reports progress, and stops the work.
        go_on: whether to fetch the others after a fault.
    """

    connect: Callable[[], Adapter]
    kept: Kept
    limits: SourceLimits
    timeout_s: float
    connections: int
    tally: Tally
    go_on: bool
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _received_bytes: int = 0
    _started: int = 0
    _ended: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Event = field(default_factory=threading.Event)
    _outcomes: dict[int, Outcome] = field(default_factory=dict)
    _failures: list[BaseException] = field(default_factory=list)

    def fetch(self, records: Sequence[ArtifactRecord]) -> list[Outcome]:
        """Fetch the content of every record.

        Returns:
            For each record what was received, or its fault; a fault only if `go_on`.

        Raises:
            jobs.errors.RetryableError, jobs.errors.PermanentError: the first fault, unless `go_on`.
            OSError: a content cannot be written.
        """
        order = sorted(range(len(records)), key=lambda index: -(records[index].size or 0))
        work = iter(order)

        def take() -> tuple[int, ArtifactRecord] | None:
            with self._lock:
                index = next(work, None)
            return None if index is None else (index, records[index])

        threads = [
            threading.Thread(target=self._work, args=(take,), daemon=True, name=f"fetch {number}")
            for number in range(min(self.connections, len(records)))
        ]
        self._started = len(threads)
        for thread in threads:
            thread.start()
        try:
            self._watch(len(threads))
        finally:
            self._stop.set()
            for thread in threads:  # each wait of theirs looks for the stop
                thread.join(self.timeout_s)
        return [self._outcomes[index] for index in range(len(records))]

    def _watch(self, threads: int) -> None:
        """Report until all threads have ended, or one has failed."""
        reported = 0
        while True:
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            with self._lock:
                received, over = self._received_bytes, self._ended == threads
            if received > reported:
                self.tally.receive(received - reported)
            self.tally.check()
            reported = received
            if self._failures:
                raise self._failures[0]
            if over:
                return

    def _work(self, take: Callable[[], tuple[int, ArtifactRecord] | None]) -> None:
        try:
            with waiting.stopped_by(self._look), self.connect() as adapter:
                while (found := take()) is not None:
                    self._outcomes[found[0]] = self._fetch_one(adapter, found[1])
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 -- raised in the job's thread
            self._failures.append(error)
            self._stop.set()
        finally:
            with self._lock:
                self._ended += 1
                is_last = self._ended == self._started
            if is_last or self._failures:
                self._wake.set()

    def _fetch_one(self, adapter: Adapter, record: ArtifactRecord) -> Outcome:
        transfer = Transfer(adapter, record, self.kept, self.limits, timeout_s=self.timeout_s, count=self._count)
        try:
            return transfer.run()
        except SourceFault as fault:
            if not self.go_on:
                raise
            return fault

    def _count(self, size_bytes: int) -> None:
        with self._lock:
            self._received_bytes += size_bytes
        self._look()

    def _look(self) -> None:
        if self._stop.is_set():
            raise _StoppedError
