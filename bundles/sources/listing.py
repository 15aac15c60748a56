"""The incidents that systems list, asked in the background and kept in memory for a minute.

Each process asks for itself, and each system at most once at a time, so that no page waits longer than it wants to.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass, replace

from bundles.sources import configured
from bundles.sources.adapters import registry
from bundles.sources.adapters.protocol import Listed
from bundles.sources.client import Dropped
from bundles.sources.limits import DEFAULT_LIMITS
from bundles.sources.profiles import System
from foundation import in_background
from jobs.errors import PermanentError, RetryableError

KEPT_S = 60.0
WAITS_S = 5.0
ASKED_S = 30.0  # after this long without an answer, the system is asked anew
MOST = 200


@dataclass(frozen=True, kw_only=True)
class SystemListing:
    """What one system lists.

    Attributes:
        system: its name.
        title: its name for a person.
        profiles: the profiles that use it.
        incidents: the newest, at most `MOST`, as it orders them.
        error: why there is no list, as a sentence; empty without.
        unusable: how many more it lists whose id cannot be used, see `configured.is_ref`.
    """

    system: str
    title: str
    profiles: tuple[str, ...]
    incidents: tuple[Listed, ...] = ()
    error: str = ""
    unusable: int = 0

    @property
    def cut(self) -> bool:
        """Whether it may have more than it was asked for."""
        return len(self.incidents) + self.unusable >= MOST


_Answer = tuple[tuple[Listed, ...], int]  # the incidents, and how many more have an id that cannot be used
_lock = threading.Lock()
_asked: dict[tuple[str, str], tuple[float, Future[_Answer]]] = {}


def able() -> list[System]:
    """The systems of the profiles in force that can list their incidents."""
    found = configured.current().systems.values()
    return [system for system in found if registry.get(system.adapter).lists_incidents]


def listed(wait_s: float = WAITS_S) -> list[SystemListing]:
    """What each system lists, from memory or newly asked.

    Args:
        wait_s: longest wait for all of them together, in seconds.
    """
    until = time.monotonic() + wait_s
    known = configured.current()
    asked = [(system, _question(system)) for system in able()]
    found = []
    for system, future in asked:
        empty = SystemListing(
            system=system.name, title=configured.title_of(system), profiles=tuple(known.users_of(system.name))
        )
        try:
            incidents, unusable = future.result(max(0.0, until - time.monotonic()))
        except NotYetError:
            found.append(replace(empty, error=f"It has not answered in {wait_s:.0f} s. Look again in a moment."))
        except (RetryableError, PermanentError, Dropped) as error:
            found.append(replace(empty, error=str(error)))
        except Exception as error:  # noqa: BLE001 # an adapter may be anybody's
            found.append(replace(empty, error=f"Its adapter failed ({type(error).__name__})."))
        else:
            found.append(replace(empty, incidents=incidents, unusable=unusable))
    return found


def forget() -> None:
    """Ask every system anew the next time."""
    with _lock:
        _asked.clear()


def _question(system: System) -> Future[_Answer]:
    """The answer that is known, or is on its way."""
    key = (system.name, system.url)
    with _lock:
        at, future = _asked.get(key, (0.0, None))
        age = time.monotonic() - at
        good = future is not None and (
            (future.done() and future.exception() is None and age < KEPT_S) or (not future.done() and age < ASKED_S)
        )
        if future is None or not good:
            future = in_background.ask(lambda: _ask(system))
            _asked[key] = (time.monotonic(), future)
        return future


def _ask(system: System) -> _Answer:
    adapter = registry.get(system.adapter)
    part = next(part for part in sorted(adapter.parts, key=lambda one: one.key))
    quick = replace(system, timeout_s=min(system.timeout_s, ASKED_S))
    with adapter(quick, part, replace(DEFAULT_LIMITS, total_factor=1)) as opened:
        found = opened.incidents(MOST)
    usable = tuple(one for one in found[:MOST] if configured.is_ref(one.ref))
    return usable, len(found[:MOST]) - len(usable)
