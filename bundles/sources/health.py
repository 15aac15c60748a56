"""Queries whether the systems of the source profiles respond, all in parallel, each once; for information only.

No credential is sent, so this says nothing about rights; `checking` does. A service is down if it refuses, fails, or
does not respond for as long as a job would wait (ORCH_SOURCE_TIMEOUT_SECONDS, or the system's own `timeout_s`). A page
waits less; a service that has not responded by then is shown as slow, not down.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlsplit

from django.conf import settings

from bundles.sources import configured
from bundles.sources.adapters import registry
from bundles.sources.client import Dropped, Silent, SourceClient
from bundles.sources.faults import Source, SourceFault
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import Profile, System
from foundation import in_background

PAGE_WAITS_S = 5.0
SLOW_FROM_S = 2.0
CORE = Source("core", "Core service")
PATHS = ("/health", "/")


@dataclass(frozen=True)
class SourceHealth:
    """The state of one service.

    Attributes:
        name: the system's name; `timeline`, `alerts`, `artifacts` and `core` are those that the environment names.
        title: its name in messages.
        url: its base URL; empty if it is not configured.
        ok: it responded with a status below HTTP 500.
        slow: it responded late, or has not responded yet; a slow service is not down.
        detail: one sentence.
        informational: nothing depends on it.
        profiles: the profiles that use it.
    """

    name: str
    title: str
    url: str
    ok: bool
    detail: str
    informational: bool
    slow: bool = False
    profiles: tuple[str, ...] = ()

    @property
    def down(self) -> bool:
        """Whether it is configured and known not to respond."""
        return bool(self.url) and not self.ok and not self.slow


def reachability(wait_s: float = PAGE_WAITS_S) -> list[SourceHealth]:
    """Query every system that a profile uses, and the core service.

    Args:
        wait_s: longest wait for each response, in seconds; at most the system's own.
    """
    known = configured.current()
    core = System(name=CORE.key, adapter="", url=settings.CORE_API_URL, timeout_s=settings.ORCH_SOURCE_TIMEOUT_SECONDS)
    asked = [
        partial(_ask, source_of(system), system, wait_s, tuple(known.users_of(name)))
        for name, system in known.systems.items()
    ]
    answers = [in_background.ask(question) for question in (*asked, partial(_ask, CORE, core, wait_s, ()))]
    return [answer.result() for answer in answers]


def of_profile(profile: Profile, wait_s: float = PAGE_WAITS_S) -> list[SourceHealth]:
    """Query the systems of one profile."""
    systems = {system.name: system for system in profile.systems.values()}
    users = {name: tuple(configured.current().users_of(name)) for name in systems}
    answers = [
        in_background.ask(partial(_ask, source_of(system), system, wait_s, users[name]))
        for name, system in systems.items()
    ]
    return [answer.result() for answer in answers]


def source_of(system: System) -> Source:
    """A system as messages name it."""
    return Source(system.name, configured.title_of(system))


def _ask(source: Source, system: System, wait_s: float, users: tuple[str, ...]) -> SourceHealth:
    informational, url, patience_s = source is CORE, system.url, float(system.timeout_s)
    wait_s = min(wait_s, patience_s)
    if not url:
        return SourceHealth(source.key, source.title, "", ok=False, detail="Not configured.", informational=True)
    began = time.monotonic()
    ok, slow = False, False
    try:
        code = _status(source, replace(system, timeout_s=wait_s, credential=None))
        took_s = time.monotonic() - began
        ok = code < 500
        slow = ok and took_s >= SLOW_FROM_S
        after = f" after {took_s:.1f} s" if slow else ""
        said = f" (HTTP {code})" if code else ""
        detail = f"Answers{said}{after}." if ok else f"HTTP {code}."
    except Silent:
        slow = wait_s < patience_s
        more = f" so far; a job waits {patience_s:.0f} s" if slow else ""
        detail = f"{'Slow' if slow else 'Not reachable'}: no answer in {wait_s:.0f} s{more}."
    except Dropped as drop:
        detail = f"Not reachable: {drop}"
    except SourceFault as fault:  # its certificate is not accepted, or a file of ours cannot be used
        detail = str(fault).removeprefix(f"{source.title}: ")
        detail = f"Cannot be asked: {detail}"
    return SourceHealth(source.key, source.title, url, ok, detail, informational, slow, users)


def _status(source: Source, system: System) -> int:
    """The HTTP status of the first path that does not fail, or of the last one; 0 from a system without HTTP.

    Raises:
        Dropped: there is no response.
        jobs.errors.PermanentError: its certificate is not accepted.
    """
    if system.adapter and not getattr(registry.get(system.adapter), "speaks_http", True):
        return _connected(system)
    code = 0
    wait_s = system.timeout_s
    with SourceClient(source, system, SourceLimits(connect_s=wait_s, total_factor=1)) as client:
        for path in PATHS:
            client.allow()
            with client.send("GET", path) as response:
                code = response.status_code
            if code < 500:
                break
    return code


def _connected(system: System) -> int:
    """0 if a TCP connection is accepted."""
    parts = urlsplit(system.url)
    try:
        socket.create_connection((parts.hostname, parts.port or 443), timeout=system.timeout_s).close()
    except TimeoutError:
        raise Silent("it did not answer in time.") from None
    except OSError:
        raise Dropped("it cannot be reached.") from None
    return 0
