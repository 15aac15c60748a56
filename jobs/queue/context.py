"""What a handler is given: its job, a way to report, and the three reasons to stop.

A handler calls `progress` or `check` often. Either raises as soon as the attempt must end; a handler lets these
errors pass. Neither writes in the handler's own transaction, so both may be called inside one.
"""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from foundation.principal import Principal


class Reporter(Protocol):
    """Where a context's reports go: the attempt that is under way."""

    def progress(self, phase: str, done: int, total: int | None, unit: str, note: str) -> None:
        """Take note of how far the attempt is."""

    def check(self) -> None:
        """Raise when the attempt must end."""

    def log(self, level: str, message: str, fields: dict[str, Any]) -> None:
        """Keep one log line."""


class JobContext:
    """One attempt, as its handler sees it.

    Attributes:
        job_id: the job.
        attempt: number of this attempt, from 1, over the job's whole life.
        payload: what was asked for.
        incident_id: the incident it concerns; empty when none.
        principal: who asked for it, as custody records it; it may do everything, its right was checked at the door.
        lease_token: names this attempt and no other; part of every file name that the attempt publishes.
    """

    def __init__(
        self,
        *,
        job_id: UUID,
        attempt: int,
        payload: dict[str, Any],
        incident_id: str,
        requested_by: str,
        lease_token: UUID,
        reporter: Reporter,
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.payload = payload
        self.incident_id = incident_id
        self.principal = Principal(name=requested_by or "system", authenticated_by="system", permissions=None)
        self.lease_token = lease_token
        self._reporter = reporter

    def progress(
        self, phase: str, done: int = 0, total: int | None = None, *, unit: str = "bytes", note: str = ""
    ) -> None:
        """Report how far the work is; stored at most twice a second, never going backwards.

        Args:
            phase: one of the job type's phases.
            done: units done in this phase.
            total: units expected in this phase, when known.
            unit: `bytes` or `records`.
            note: a few words for a person, such as the file's name.

        Raises:
            CancelledError: somebody asked for the job to be cancelled.
            LeaseLostError: the job is no longer this worker's.
            StoppingError: the worker is shutting down.
        """
        self._reporter.progress(phase, done, total, unit, note)
        self._reporter.check()

    def check(self) -> None:
        """Raise as `progress` does when the attempt must end; reports nothing."""
        self._reporter.check()

    def log(self, level: str, message: str, **fields: Any) -> None:
        """Keep one line in the job's log and write it to the worker's.

        Args:
            level: `debug`, `info`, `warning` or `error`.
            message: for a person; no secrets.
            fields: JSON values that belong to it.
        """
        self._reporter.log(level, message, fields)
