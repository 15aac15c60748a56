"""An adapter for tests that lists incidents."""

from __future__ import annotations

from typing import ClassVar

from bundles.sources.adapters.protocol import Listed
from bundles.sources.adapters.ransomeye.adapter import RansomEyeAdapter


class ListingAdapter(RansomEyeAdapter):
    """The RansomEye services as if they could list their incidents: `answers`, or an exception that it raises."""

    name: ClassVar[str] = "listing"
    title: ClassVar[str] = "Case system"
    lists_incidents: ClassVar[bool] = True
    answers: ClassVar[list[Listed] | Exception] = []
    asked: ClassVar[list[str]] = []

    def incidents(self, most: int) -> list[Listed]:
        """What the test says."""
        self.asked.append(f"{self._client.system.name} {most}")
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers
