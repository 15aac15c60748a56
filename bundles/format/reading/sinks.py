"""Where the bytes of members go while they are verified, and the sink that keeps nothing."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """Takes what is read before it is known to be right; must not release it before verification returned."""

    def begin(self, path: str) -> None:
        """A member starts."""

    def write(self, data: memoryview) -> None:
        """Its next bytes."""

    def end(self) -> None:
        """It is complete; whether it is as signed may turn out only when verification returns."""


class NoSink:
    """Keeps nothing."""

    def begin(self, path: str) -> None:
        """Keep nothing."""

    def write(self, data: memoryview) -> None:
        """Keep nothing."""

    def end(self) -> None:
        """Keep nothing."""
