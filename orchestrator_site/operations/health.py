"""`GET /health`: this process answers. `GET /ready`: it can do its work, part by part.

Neither requires authentication, so they return only names of parts, counts and free bytes. States and time limits are
defined in `orchestrator_site.operations.probes`.
"""

from __future__ import annotations

import os
from functools import cache

import requests
from django.conf import settings
from django.core.checks import ERROR
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from bundles.storage import store_identity
from orchestrator_site.configuration import host_checks
from orchestrator_site.operations.probe_connection import DatabaseError, NoAnswerError, quick_cursor
from orchestrator_site.operations.probes import DOWN_AFTER_S, Part, Probes

SILENT = f"down: no answer in {DOWN_AFTER_S} s"
REFUSED = "down: the connection was refused or failed"


@csrf_exempt  # read-only: other methods get 405
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers; no database is asked."""
    del request
    return JsonResponse({"alive": True})


@csrf_exempt
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when every part that work needs is well, else 503; the body has each part's state."""
    del request
    parts = PROBES.ask()
    well = all(part["ok"] for part in parts.values() if not part.get("informational"))
    return JsonResponse({"ready": well, "parts": parts}, status=200 if well else 503)


def database() -> Part:
    """It answers, and every migration of this version has been applied."""
    try:
        with quick_cursor(DOWN_AFTER_S) as cursor:
            cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
            applied: set[tuple[str, str]] = set()
            if cursor.fetchone() == (True,):
                cursor.execute("SELECT app, name FROM django_migrations")
                applied = set(cursor.fetchall())
    except NoAnswerError:
        return {"ok": False, "detail": SILENT}
    except DatabaseError:
        return {"ok": False, "detail": REFUSED}
    missing = len(_known_migrations() - applied)
    if missing:
        return {"ok": False, "detail": f"{missing} migrations are not applied: run `manage.py migrate`"}
    return {"ok": True, "detail": "answers; all migrations are applied"}


def storage() -> Part:
    """Both stores can be written to; with their free bytes."""
    free: dict[str, int | None] = {}
    for name in store_identity.VARIABLES:
        path = store_identity.root(name)
        try:
            disk = os.statvfs(path)
        except OSError:
            free[name] = None
            continue
        writable = path.is_dir() and os.access(path, os.W_OK | os.X_OK) and not disk.f_flag & os.ST_RDONLY
        free[name] = disk.f_bavail * disk.f_frsize if writable else None
    unwritable = [name for name, free_bytes in free.items() if free_bytes is None]
    detail = f"not writable: {', '.join(unwritable)}" if unwritable else "writable"
    return {"ok": not unwritable, "detail": detail, "free_bytes": free}


def known_stores() -> Part:
    """Both stores are those that the database knows; a part of its own, as it takes as long as the database."""
    try:
        wrong = host_checks.wrong_stores(DOWN_AFTER_S)  # a missing directory is reported by `storage`
    except DatabaseError:
        return {"ok": False, "detail": "not known: the database is down"}
    if wrong:
        return {"ok": False, "detail": f"store_mismatch, not the store that the database knows: {', '.join(wrong)}"}
    return {"ok": True, "detail": "those that the database knows"}


def keys() -> Part:
    """The signing key can be used, and the trusted keys hold its public part."""
    found = [*host_checks.signing_key(None), *host_checks.verify_keys(None)]
    errors = [one for one in found if one.level >= ERROR]
    if errors:
        return {"ok": False, "detail": "; ".join(f"{one.id} {one.msg}" for one in errors)}
    return {"ok": True, "detail": "the signing key is readable and trusted"}


def workers() -> Part:
    """At least one worker sent a heartbeat within the lease time."""
    try:
        with quick_cursor(DOWN_AFTER_S) as cursor:
            cursor.execute(
                "SELECT count(*) FROM orchestrator_workers"
                " WHERE heartbeat_at > now() - make_interval(secs => %s) AND state IN ('idle', 'busy')",
                [settings.ORCH_LEASE_SECONDS],
            )
            row = cursor.fetchone()
    except DatabaseError:
        return {"ok": False, "detail": "not known: the database is down", "live": None}
    live = int(row[0]) if row else 0
    return {"ok": live > 0, "detail": f"{live} live", "live": live}


def core() -> Part:
    """The core service answers; for information only."""
    if not settings.CORE_API_URL:
        return {"ok": False, "detail": "not configured"}
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"{settings.CORE_API_URL}/health", timeout=DOWN_AFTER_S, allow_redirects=False, stream=True
            )
            answer.close()
    except requests.Timeout:
        return {"ok": False, "detail": SILENT}
    except requests.RequestException:
        return {"ok": False, "detail": REFUSED}
    return {"ok": answer.status_code < 300, "detail": f"answers with HTTP {answer.status_code}"}


PROBES = Probes(
    {
        "database": database,
        "storage": storage,
        "stores": known_stores,
        "keys": keys,
        "workers": workers,
        "core": core,
    },
    informational=frozenset({"core"}),
)


@cache
def _known_migrations() -> set[tuple[str, str]]:
    loader = MigrationLoader(None)
    replaced = {key for migration in loader.disk_migrations.values() for key in migration.replaces}
    return {key for key, migration in loader.disk_migrations.items() if key not in replaced and not migration.replaces}
