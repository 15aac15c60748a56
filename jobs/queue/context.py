"""What a handler gets: its job, a way to report, and the errors that stop it.

A handler calls `progress` or `check` often. Both raise as soon as the attempt must end; a handler does not catch these
errors. Neither writes in the handler's own transaction, so both may be called inside one.
"""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from foundation.principal import Principal


class Reporter(Protocol):
    """Receives a context's reports: the running attempt."""

    def progress(self, phase: str, done: int, total: int | None, unit: str, note: str) -> None:
        """Record how far the attempt is."""

    def check(self) -> None:
        """Raise when the attempt must end."""

    def log(self, level: str, message: str, fields: dict[str, Any]) -> None:
        """Record one log line."""


class JobContext:
    """One attempt, as its handler sees it.

    Attributes:
        job_id: the job.
        attempt: number of this attempt, from 1; counts all attempts at the job.
        payload: the parameters of the work.
        incident_id: the incident it concerns; empty when none.
        principal: who asked for it, as custody records it; may do everything here, as the request was checked.
        lease_token: unique to this attempt; part of every file name that the attempt publishes.
        last_try: whether a failure of this attempt ends the job.
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
        last_try: bool = False,
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.payload = payload
        self.incident_id = incident_id
        self.principal = Principal(name=requested_by or "system", authenticated_by="system", permissions=None)
        self.lease_token = lease_token
        self.last_try = last_try
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
            note: a few words for a person, such as a file name.

        Raises:
            CancelledError: cancelling was requested.
            LeaseLostError: the job is no longer this worker's.
            StoppingError: the worker is shutting down.
        """
        self._reporter.progress(phase, done, total, unit, note)
        self._reporter.check()

    def check(self) -> None:
        """Raise as `progress` does if the attempt must end; reports nothing."""
        self._reporter.check()

    def log(self, level: str, message: str, **fields: Any) -> None:
        """Write one line to the job's log and to the worker's.

        Args:
            level: `debug`, `info`, `warning` or `error`.
            message: for a person; no secrets.
            fields: further JSON values.
        """
        self._reporter.log(level, message, fields)
