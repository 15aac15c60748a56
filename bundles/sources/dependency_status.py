"""The last known status of the sources, and since when; shown on Home.

The status is recorded by a periodic sweep, and by pages that query the sources. Home reads one small table and never
waits for a service. A status that was not confirmed for a while counts as unknown.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from bundles.models import DependencyStatus
from bundles.sources import configured, health
from bundles.sources.health import SourceHealth
from bundles.sources.profiles import DEFAULT_PROFILE
from jobs.models import Job
from jobs.queue import queue

SOURCES = "sources"  # as jobs name what they wait for
KNOWN_FOR = timedelta(minutes=20)  # four sweeps

RECORD_SQL = """
INSERT INTO orchestrator_lookouts AS known (name, title, ok, detail, seen_at, since)
VALUES (%(name)s, %(title)s, %(ok)s, %(detail)s, now(), now())
ON CONFLICT (name) DO UPDATE SET title = excluded.title, ok = excluded.ok, detail = excluded.detail, seen_at = now(),
    since = CASE WHEN known.ok = excluded.ok THEN known.since ELSE now() END
"""
# One JSON value, as part of a larger statement; `known_of` reads it.
KNOWN_AS_JSON = f"""(
SELECT json_agg(row_to_json(known)) FROM orchestrator_lookouts AS known
WHERE seen_at > now() - make_interval(secs => {KNOWN_FOR.total_seconds():.0f}))"""  # noqa: S608 # built from a constant


def sweep() -> int:
    """Query every source and record its status; returns 0, as it removes nothing."""
    record_all(health.reachability(settings.ORCH_SOURCE_TIMEOUT_SECONDS))
    return 0


def waits_of(profile: str) -> str:
    """What a job waits for that needs the systems of a profile."""
    return SOURCES if profile == DEFAULT_PROFILE else f"{SOURCES}:{profile}"


def waits_of_job(job: Job) -> str:
    """What a job waits for: the systems of its own profile."""
    return waits_of(job.payload.get("profile") or configured.current().default)


def record_all(found: list[SourceHealth]) -> None:
    """Record the status of sources, except those that are informational, not configured or still slow.

    Jobs that wait for the systems of a profile run when all of them answer, and wait on when one is down.
    """
    needed = {source.name: source for source in found if not source.informational}
    for source in needed.values():
        if source.ok or source.down:
            record(f"source.{source.name}", source.title, ok=source.ok, detail=source.detail)
    for profile in configured.current().profiles.values():
        names = {system.name for system in profile.systems.values()}
        asked = [source for name, source in needed.items() if name in names]
        if any(source.down for source in asked):
            queue.postpone_waiting(waits_of(profile.name))
        elif len(asked) == len(names) and all(source.ok for source in asked):
            queue.release_waiting(waits_of(profile.name))


def all_answer(job: Job) -> bool:
    """Query every system that the job needs, and record the status; whether all of them answer."""
    if job.payload.get("source", "live") != "live":
        return True
    try:
        profile = configured.current().get(job.payload.get("profile", ""))
    except configured.ProfileUnknownError:
        return True  # a new attempt says so
    found = health.of_profile(profile)
    record_all(found)
    return all(source.ok for source in found)


def record(name: str, title: str, *, ok: bool, detail: str) -> None:
    """Record the present status of a dependency."""
    with connection.cursor() as cursor:
        cursor.execute(RECORD_SQL, {"name": name, "title": title, "ok": ok, "detail": detail[:500]})


def known_of(rows: list[dict[str, Any]] | None) -> list[DependencyStatus]:
    """The dependencies whose status is known, from the value of `KNOWN_AS_JSON`; the longest in it first."""
    found = [
        DependencyStatus(**{**row, **{name: datetime.fromisoformat(row[name]) for name in ("seen_at", "since")}})
        for row in rows or []
    ]
    return sorted(found, key=lambda one: (one.since, one.name))
