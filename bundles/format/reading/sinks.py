"""Sinks receive the bytes of members while they are verified."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """Receives unverified bytes; must not release them before the verification returned."""

    def begin(self, path: str) -> None:
        """Start a member."""

    def write(self, data: memoryview) -> None:
        """Receive the member's next bytes."""

    def end(self) -> None:
        """End the member; it is verified only when the verification returns."""


class NoSink:
    """Discards everything."""

    def begin(self, path: str) -> None:
        """Do nothing."""

    def write(self, data: memoryview) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""
