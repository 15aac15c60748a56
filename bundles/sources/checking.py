"""Asks the systems of a profile what they have of an incident, before a job is made; nothing is fetched.

Each part is asked by its adapter's `offer`, as whom the job would ask, all in parallel. A system that does not answer
within `WAITS_S` is named as such.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings

from bundles.sources import configured, faults, tls_files
from bundles.sources.adapters import registry
from bundles.sources.adapters.protocol import Offer
from bundles.sources.client import Dropped
from bundles.sources.faults import INVALID, UNAVAILABLE, Source
from bundles.sources.limits import DEFAULT_LIMITS
from bundles.sources.live import LiveSource
from bundles.sources.profiles import PARTS, Profile, System
from foundation import in_background
from jobs.errors import PermanentError, RetryableError

WAITS_S = 10.0
AT_ONCE = 24  # questions of this process; each holds a thread until its system answers or its time is over

_places = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True, kw_only=True)
class PartCheck:
    """What was found out about one part.

    Attributes:
        part: `timeline`, `alerts` or `artifacts`.
        system: where it is read; empty if the profile names no system for it.
        adapter: the kind of that system, as people know it.
        url: of the system.
        ref: the incident's id there.
        offer: what would be fetched; None if it could not be asked.
        code: of the error, as a job would have it; empty without.
        error: one sentence; empty without.
    """

    part: str
    system: str = ""
    adapter: str = ""
    url: str = ""
    ref: str = ""
    offer: Offer | None = None
    code: str = ""
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The check in the API's form."""
        offer = self.offer or Offer()
        return {
            "part": self.part,
            "system": self.system or None,
            "adapter": self.adapter or None,
            "url": self.url or None,
            "ref": self.ref or None,
            "ok": self.offer is not None,
            "records": offer.records,
            "size_bytes": offer.size_bytes,
            "detail": offer.detail,
            "error": {"code": self.code, "message": self.error} if self.error else None,
        }


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The answers of a profile's systems.

    Attributes:
        profile: its name.
        incident_id: whose.
        parts: one for each part, in the order of a bundle.
    """

    profile: str
    incident_id: str
    parts: tuple[PartCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether every part that the profile names could be asked."""
        return not any(part.error for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """The answers in the API's form."""
        return {
            "profile": self.profile,
            "incident_id": self.incident_id,
            "ok": self.ok,
            "parts": [part.as_dict() for part in self.parts],
        }


def check(profile: Profile, incident_id: str, refs: Mapping[str, str], *, wait_s: float = WAITS_S) -> Checked:
    """Ask every system of the profile.

    Args:
        profile: the systems.
        incident_id: the incident's id here.
        refs: system → its id there, where it is another one; checked by `configured.refs_faults`.
        wait_s: longest wait for each, in seconds.
    """
    source = LiveSource(
        profile=replace(profile, systems={part: _hurried(one, wait_s) for part, one in profile.systems.items()}),
        storage=Path(settings.FORENSIC_STORAGE_PATH),
        refs=refs,
        limits=replace(DEFAULT_LIMITS, total_factor=1),
    )
    asked = {part: _ask(source, part, incident_id) for part in profile.systems}
    until = time.monotonic() + wait_s
    parts = []
    for part in PARTS:
        if part not in profile.systems:
            parts.append(PartCheck(part=part.key))
            continue
        system = profile.systems[part]
        about = PartCheck(
            part=part.key,
            system=system.name,
            adapter=registry.get(system.adapter).title,
            url=system.url,
            ref=source.ref(part, incident_id),
        )
        found = _answer(asked[part], max(0.0, until - time.monotonic()), wait_s)
        if isinstance(found, Offer):
            parts.append(replace(about, offer=found))
        else:
            parts.append(replace(about, code=found[0], error=found[1]))
    return Checked(profile=profile.name, incident_id=incident_id, parts=tuple(parts))


def _hurried(system: System, wait_s: float) -> System:
    return replace(system, timeout_s=min(system.timeout_s, wait_s))


def _ask(source: LiveSource, part: Source, incident_id: str) -> Any:
    """The question, on its way; None if too many are."""
    if not _places.acquire(blocking=False):
        return None

    def question() -> Offer:
        try:
            return _offer(source, part, incident_id)
        finally:
            _places.release()

    return in_background.ask(question)


def _offer(source: LiveSource, part: Source, incident_id: str) -> Offer:
    system = source.profile.systems[part]
    if says := tls_files.fault_of(system):
        raise faults.misconfigured(configured.part_of(part, system), says)
    with source.adapter(part) as adapter:
        return adapter.offer(source.ref(part, incident_id))


def _answer(future: Any, left_s: float, wait_s: float) -> Offer | tuple[str, str]:
    """What the system offers, or the code and the sentence of the error."""
    if future is None:
        return UNAVAILABLE, "Too many sources are being asked at once. Try again in a moment."
    try:
        offer: Offer = future.result(left_s + 0.5)
    except NotYetError:
        return UNAVAILABLE, f"It did not answer in {wait_s:.0f} s."
    except (RetryableError, PermanentError) as error:
        return error.code, str(error)
    except Dropped as drop:
        return UNAVAILABLE, str(drop)
    except Exception as error:  # noqa: BLE001 # an adapter may be anybody's
        return INVALID, f"The adapter failed ({type(error).__name__})."
    return offer
