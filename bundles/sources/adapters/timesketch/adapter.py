"""The adapter of Timesketch, the forensic timeline server of Google; it gives the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NoReturn, Self

from bundles.sources import faults
from bundles.sources.adapters.protocol import ArtifactRecord, Content, Listed, Offer, Wanted
from bundles.sources.adapters.timesketch import events, sketch
from bundles.sources.adapters.timesketch.session import BY_FORM, WAYS, Session
from bundles.sources.faults import TIMELINE, Source
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import System
from bundles.sources.trace import Part


class TimesketchAdapter:
    """See `protocol.Adapter`."""

    name: ClassVar[str] = "timesketch"
    version: ClassVar[str] = "1"
    title: ClassVar[str] = "Timesketch"
    parts: ClassVar[frozenset[Source]] = frozenset({TIMELINE})
    lists_incidents: ClassVar[bool] = True

    def __init__(self, system: System, part: Source, limits: SourceLimits) -> None:
        self._part = part
        self._session = Session(part, system, limits)

    @classmethod
    def faults_of(cls, system: System) -> list[str]:
        """See `protocol.Adapter`."""
        found = [
            f"options.{name}: the adapter timesketch has no such option; it has sign_in."
            for name in sorted(system.options)
            if name != "sign_in"
        ]
        way = system.options.get("sign_in", BY_FORM)
        if way not in WAYS:
            found.append(f"options.sign_in: it must be one of {', '.join(WAYS)}.")
        elif way == BY_FORM and (system.credential is None or system.credential.kind != "basic"):
            found.append("basic: signing in by Timesketch's form needs a user and a password_file.")
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        self._session.__exit__(*of)

    def timeline(self, wanted: Wanted) -> Part:
        """See `protocol.Adapter`."""
        return events.fetch(self._session, wanted)

    def alerts(self, wanted: Wanted) -> Part:  # noqa: ARG002 -- see the protocol
        """Timesketch has none."""
        self._has_no_such_part()

    def artifacts(self, wanted: Wanted) -> tuple[Part, Sequence[ArtifactRecord]]:  # noqa: ARG002 -- see the protocol
        """Timesketch has none."""
        self._has_no_such_part()

    def content(self, record: ArtifactRecord, at: int, tag: str) -> Content:  # noqa: ARG002 -- see the protocol
        """Timesketch has none."""
        self._has_no_such_part()

    def offer(self, ref: str) -> Offer:
        """See `protocol.Adapter`."""
        found = sketch.fetch(self._session, ref)
        unread = [text for text in (found.named(processing=True), found.named(processing=False)) if text]
        detail = f"Timelines that are read: {len(found.ready)}"
        detail += f"; not read are {', '.join(unread)}." if unread else "."
        return Offer(records=sketch.count(self._session, found), detail=detail)

    def incidents(self, most: int) -> list[Listed]:
        """See `protocol.Adapter`; the sketches that the account sees."""
        return sketch.listed(self._session, most)

    def _has_no_such_part(self) -> NoReturn:
        raise faults.misconfigured(self._part, "Timesketch has only a timeline; name another system for this part.")
