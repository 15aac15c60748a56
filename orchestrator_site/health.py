"""`GET /health`: this process answers. `GET /ready`: it can do its work, part by part.

Neither asks who is calling, so neither tells more than names of parts, counts and free bytes. Neither hangs: parts
are looked at side by side, each answer is awaited for `DEADLINE_S`, and a part that hangs is never asked twice at once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import Lock
from typing import Any

import requests
from django.conf import settings
from django.core.checks import ERROR
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from bundles import stores
from orchestrator_site import host_checks
from orchestrator_site.quick_database import DatabaseError, quick_cursor

log = logging.getLogger(__name__)

DEADLINE_S = 5
CORE_TIMEOUT_S = 2

Part = dict[str, Any]


@csrf_exempt  # nothing is ever changed here: another method is refused as such, with 405
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers; no database is asked."""
    del request
    return _uncached(JsonResponse({"alive": True}))


@csrf_exempt
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when every part that work needs is well, else 503; the body has each part's state."""
    del request
    parts = PROBES.ask()
    well = all(part["ok"] for part in parts.values() if not part.get("informational"))
    return _uncached(JsonResponse({"ready": well, "parts": parts}, status=200 if well else 503))


def database() -> Part:
    """It answers, and every migration of this version has been applied."""
    try:
        with quick_cursor() as cursor:
            cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
            applied: set[tuple[str, str]] = set()
            if cursor.fetchone() == (True,):
                cursor.execute("SELECT app, name FROM django_migrations")
                applied = set(cursor.fetchall())
    except DatabaseError:
        return {"ok": False, "detail": "does not answer"}
    missing = len(_known_migrations() - applied)
    if missing:
        return {"ok": False, "detail": f"{missing} migrations are not applied: run `manage.py migrate`"}
    return {"ok": True, "detail": "answers; all migrations are applied"}


def storage() -> Part:
    """Both stores are those that the database knows, and can be written to; with their free bytes."""
    free: dict[str, int | None] = {}
    for name in stores.VARIABLES:
        path = stores.root(name)
        try:
            disk = os.statvfs(path)
        except OSError:
            free[name] = None
            continue
        writable = path.is_dir() and os.access(path, os.W_OK | os.X_OK) and not disk.f_flag & os.ST_RDONLY
        free[name] = disk.f_bavail * disk.f_frsize if writable else None
    unwritable = [name for name, free_bytes in free.items() if free_bytes is None]
    wrong = [name for name in _wrong_stores() if name not in unwritable]
    faults = [f"not writable: {', '.join(unwritable)}"] if unwritable else []
    faults += [f"store_mismatch, not the store that the database knows: {', '.join(wrong)}"] if wrong else []
    return {"ok": not faults, "detail": "; ".join(faults) or "writable", "free_bytes": free}


def _wrong_stores() -> list[str]:
    """The stores that are not those of the database; none where it does not answer, which is a part of its own."""
    try:
        with quick_cursor() as cursor:
            cursor.execute(stores.KNOWN_SQL)
            known = stores.known_of(cursor.fetchall())
    except DatabaseError:
        return []
    return [kind for kind in stores.VARIABLES if stores.difference(kind, known.get(kind))]


def keys() -> Part:
    """The signing key can be used, and the trusted keys hold its public part."""
    found = [*host_checks.signing_key(None), *host_checks.verify_keys(None)]
    errors = [one for one in found if one.level >= ERROR]
    if errors:
        return {"ok": False, "detail": "; ".join(f"{one.id} {one.msg}" for one in errors)}
    return {"ok": True, "detail": "the signing key is readable and trusted"}


def workers() -> Part:
    """At least one worker said within a lease's length that it lives."""
    try:
        with quick_cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM orchestrator_workers"
                " WHERE heartbeat_at > now() - make_interval(secs => %s) AND state IN ('idle', 'busy')",
                [settings.ORCH_LEASE_SECONDS],
            )
            row = cursor.fetchone()
    except DatabaseError:
        return {"ok": False, "detail": "not known: the database does not answer", "live": None}
    live = int(row[0]) if row else 0
    return {"ok": live > 0, "detail": f"{live} live", "live": live}


def core() -> Part:
    """The site's core service answers; nothing of ours depends on it."""
    if not settings.CORE_API_URL:
        return {"ok": False, "detail": "not configured"}
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"{settings.CORE_API_URL}/health", timeout=CORE_TIMEOUT_S, allow_redirects=False, stream=True
            )
            answer.close()
    except requests.RequestException:
        return {"ok": False, "detail": "does not answer"}
    return {"ok": answer.status_code < 300, "detail": f"answers with HTTP {answer.status_code}"}


class Probes:
    """Asks every part at once, in threads that are kept; a part that still hangs from before counts as not well."""

    def __init__(self, parts: Mapping[str, Callable[[], Part]], informational: frozenset[str]) -> None:
        self.parts = parts
        self.informational = informational
        self._pool: ThreadPoolExecutor | None = None  # made by the process that asks, as threads do not survive a fork
        self._asked: dict[str, Future[Part]] = {}
        self._lock = Lock()

    def ask(self) -> dict[str, Part]:
        """Each part's state, in `DEADLINE_S` at the latest."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(max_workers=len(self.parts), thread_name_prefix="ready")
            for name, probe in self.parts.items():
                if name not in self._asked or self._asked[name].done():
                    self._asked[name] = self._pool.submit(probe)
            asked = dict(self._asked)
        wait(asked.values(), timeout=DEADLINE_S)
        return {name: self._state(name, future) for name, future in asked.items()}

    def _state(self, name: str, asked: Future[Part]) -> Part:
        if not asked.done():
            part: Part = {"ok": False, "detail": f"no answer in {DEADLINE_S} s"}
        elif error := asked.exception():
            log.error("the state of %s cannot be told", name, exc_info=error)
            part = {"ok": False, "detail": "cannot be told; the log has the reason"}
        else:
            part = asked.result()
        return {**part, "informational": True} if name in self.informational else part


PROBES = Probes(
    {"database": database, "storage": storage, "keys": keys, "workers": workers, "core": core},
    informational=frozenset({"core"}),
)


@cache
def _known_migrations() -> set[tuple[str, str]]:
    loader = MigrationLoader(None)
    replaced = {key for migration in loader.disk_migrations.values() for key in migration.replaces}
    return {key for key, migration in loader.disk_migrations.items() if key not in replaced and not migration.replaces}


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response
