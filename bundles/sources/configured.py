"""The source profiles in force: those of ORCH_SOURCES_FILE, and `default` of the environment.

The file is read once in each process, when it starts, so that all parts of a job agree. Files that it names (tokens,
certificates) are read when they are used.

Without a file, `default` is the three RansomEye services of the environment. With one, they stay available as `default`
if the environment names at least one of their URLs and the file has no profile of that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from django.conf import settings

from bundles.sources import profiles, sources_file
from bundles.sources.adapters import registry
from bundles.sources.faults import Source
from bundles.sources.profiles import DEFAULT_PROFILE, Profile, System
from bundles.sources.sources_file import SourcesFile

MOST_REF_CHARS = 512


class ProfileUnknownError(Exception):
    """There is no such profile; the message lists those that there are."""


@dataclass(frozen=True, kw_only=True)
class Configured:
    """What is in force.

    Attributes:
        profiles: by name, in the order in which they are offered: the default one first.
        file: the file that was read at the start; None without one.
    """

    profiles: Mapping[str, Profile]
    file: SourcesFile | None

    @property
    def default(self) -> str:
        """The profile of a request that names none: `default`, or else the first of the file; empty without any."""
        return next(iter(self.profiles), "")

    @property
    def systems(self) -> dict[str, System]:
        """Every system that a profile uses, by name, each once."""
        return {system.name: system for one in self.profiles.values() for system in one.systems.values()}

    def users_of(self, system: str) -> list[str]:
        """The profiles that use a system."""
        return [one.name for one in self.profiles.values() if system in {used.name for used in one.systems.values()}]

    def get(self, name: str) -> Profile:
        """The profile of that name; the default one if it is empty.

        Raises:
            ProfileUnknownError: there is none.
        """
        try:
            return self.profiles[name or self.default]
        except KeyError:
            there = ", ".join(self.profiles) or "none that can be used"
            raise ProfileUnknownError(f"There is no source profile {name!r}; there are {there}.") from None


def current() -> Configured:
    """The profiles in force in this process."""
    file = None
    found: dict[str, Profile] = {}
    if settings.ORCH_SOURCES_FILE:
        file = _at_start(Path(settings.ORCH_SOURCES_FILE), float(settings.ORCH_SOURCE_TIMEOUT_SECONDS))
        found = dict(file.profiles)
    if DEFAULT_PROFILE in found:
        return Configured(profiles={DEFAULT_PROFILE: found.pop(DEFAULT_PROFILE), **found}, file=file)
    if file is None or settings.ORCH_SOURCES_IN_ENVIRONMENT:
        found = {DEFAULT_PROFILE: of_environment(), **found}
    return Configured(profiles=found, file=file)


def of_environment() -> Profile:
    """The three services that the environment names."""
    return profiles.of_three_services(
        timeline_url=settings.KILLCHAIN_API_URL,
        alerts_url=settings.DB_API_URL,
        artifacts_url=settings.FORENSIC_API_URL,
        timeout_s=settings.ORCH_SOURCE_TIMEOUT_SECONDS,
    )


def on_disk() -> SourcesFile | None:
    """The file as it is now, which is not in force before the next start; None without one."""
    if not settings.ORCH_SOURCES_FILE:
        return None
    timeout_s = float(settings.ORCH_SOURCE_TIMEOUT_SECONDS)
    return sources_file.read(Path(settings.ORCH_SOURCES_FILE), timeout_s=timeout_s, now=datetime.now(UTC))


def title_of(system: System) -> str:
    """A system's name for a person, such as `iris (DFIR-IRIS)`, or `Alerts DB` of the environment."""
    for part in profiles.PARTS:
        if system.name == part.key:
            return part.title  # no system of a file has this name
    return f"{system.name} ({registry.get(system.adapter).title})"


def part_of(part: Source, system: System) -> Source:
    """A part as messages name it: by its service in the environment, or as that of a system of the file."""
    return part if system.name == part.key else Source(part.key, f"{part.key.capitalize()} of {title_of(system)}")


def refs_faults(profile: Profile, refs: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with the ids of an incident in the systems of a profile: `refs.SYSTEM` → a sentence."""
    known = list(dict.fromkeys(system.name for system in profile.systems.values()))
    faults = {}
    for name, ref in refs.items():
        if name not in known:
            faults[f"refs.{name}"] = f"the profile {profile.name} has no such system; it has {', '.join(known)}"
        elif not is_ref(ref):
            faults[f"refs.{name}"] = f"a text of 1 to {MOST_REF_CHARS} characters, none of them a control character"
    return faults


def is_ref(ref: object) -> bool:
    """Whether it can be the id of an incident in a system: any text within the bound."""
    return (
        isinstance(ref, str)
        and 1 <= len(ref) <= MOST_REF_CHARS
        and bool(ref.strip())
        and not any(character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"
                    for character in ref)
    )  # fmt: skip


@cache
def _at_start(path: Path, timeout_s: float) -> SourcesFile:
    return sources_file.read(path, timeout_s=timeout_s, now=datetime.now(UTC))
