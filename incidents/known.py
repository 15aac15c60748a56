"""The incidents that jobs, bundles and restores know of, listed by id.

One query steps from one id to the next over the three indexes, so a page costs the same whether there are ten jobs
or a hundred thousand. A search walks them once.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count

from bundles.format.model.paths import INCIDENT_ID_CHARACTERS, valid_incident_id
from bundles.models import Bundle
from foundation.keyset import MAX_LIMIT, CursorInvalidError, Page
from jobs.models import Job
from rehydration.models import RestoredIncident

# LEAST passes over nulls, so each step gives the smallest id after the last one in any of the three tables.
_NEXT_IDS = """
WITH RECURSIVE known (incident_id, place) AS (
    SELECT LEAST(
        (SELECT min(incident_id) FROM orchestrator_jobs WHERE incident_id > %(after)s),
        (SELECT min(incident_id) FROM orchestrator_bundles WHERE incident_id > %(after)s),
        (SELECT min(incident_id) FROM orchestrator_restored_incidents WHERE incident_id > %(after)s)), 1
    UNION ALL
    SELECT LEAST(
        (SELECT min(j.incident_id) FROM orchestrator_jobs j WHERE j.incident_id > known.incident_id),
        (SELECT min(b.incident_id) FROM orchestrator_bundles b WHERE b.incident_id > known.incident_id),
        (SELECT min(r.incident_id) FROM orchestrator_restored_incidents r
            WHERE r.incident_id > known.incident_id)), known.place + 1
    FROM known WHERE known.incident_id IS NOT NULL AND known.place < %(limit)s
)
SELECT incident_id FROM known WHERE incident_id IS NOT NULL ORDER BY place
"""
# With a search, stepping would walk an index to its end again for each step that finds no more in it: each is walked
# once, in order, until there are enough.
_MATCHING_IDS = """
SELECT incident_id FROM (
    (SELECT DISTINCT incident_id FROM orchestrator_jobs
        WHERE incident_id > %(after)s AND strpos(lower(incident_id), %(search)s) > 0
        ORDER BY incident_id LIMIT %(limit)s)
    UNION
    (SELECT DISTINCT incident_id FROM orchestrator_bundles
        WHERE incident_id > %(after)s AND strpos(lower(incident_id), %(search)s) > 0
        ORDER BY incident_id LIMIT %(limit)s)
    UNION
    (SELECT incident_id FROM orchestrator_restored_incidents
        WHERE incident_id > %(after)s AND strpos(lower(incident_id), %(search)s) > 0
        ORDER BY incident_id LIMIT %(limit)s)
) AS known ORDER BY incident_id LIMIT %(limit)s
"""
# The id that is the text itself comes first, however many others contain it.
_EXACT_FIRST = """
SELECT incident_id FROM (
    SELECT %(exact)s AS incident_id WHERE EXISTS (SELECT FROM orchestrator_jobs WHERE incident_id = %(exact)s)
        OR EXISTS (SELECT FROM orchestrator_bundles WHERE incident_id = %(exact)s)
        OR EXISTS (SELECT FROM orchestrator_restored_incidents WHERE incident_id = %(exact)s)
    UNION SELECT incident_id FROM ({matching}) AS matching
) AS known ORDER BY incident_id <> %(exact)s, incident_id LIMIT %(limit)s
"""
# Candidates for ids that a person may have meant: of what has a bundle or was restored, as an id that only a job names
# may be a mistake itself. Each index is walked once, as by a search.
_BEGINNING_WITH = """
(SELECT DISTINCT incident_id FROM orchestrator_bundles
    WHERE starts_with(lower(incident_id), %(start)s) ORDER BY incident_id LIMIT %(limit)s)
UNION
(SELECT incident_id FROM orchestrator_restored_incidents
    WHERE starts_with(lower(incident_id), %(start)s) ORDER BY incident_id LIMIT %(limit)s)
"""
CANDIDATES = 500
LEAST_SIMILAR = 0.75  # of difflib's ratio: one wrong character in an id of eight


@dataclass(frozen=True, kw_only=True)
class IncidentSummary:
    """What is known of one incident.

    Attributes:
        incident_id: its id.
        bundles: how many bundles are registered.
        jobs: how many jobs name it.
        restored_at: when it was first restored here; None when never.
        alerts: alerts in our database.
        events: timeline events in our database.
        artifacts: artifact records in our database.
        last_bundle: the newest registered bundle.
    """

    incident_id: str
    bundles: int
    jobs: int
    restored_at: datetime | None
    alerts: int
    events: int
    artifacts: int
    last_bundle: Bundle | None

    @property
    def known_alerts(self) -> int | None:
        """Alerts as the last bundle that was counted holds them, or as restored here; None when nobody counted."""
        counted = self._counts.get("alerts")
        return sum(counted.values()) if counted is not None else self.alerts if self.restored_at else None

    @property
    def known_artifacts(self) -> int | None:
        """Artifacts, in the same way."""
        counted: int | None = self._counts.get("artifacts")
        return counted if counted is not None else self.artifacts if self.restored_at else None

    @property
    def _counts(self) -> dict[str, Any]:
        return (self.last_bundle.counts if self.last_bundle else None) or {}


def page(*, search: str, cursor: str, limit: int) -> Page[IncidentSummary]:
    """One page of incidents; see `services.incidents`."""
    limit = max(1, min(limit, MAX_LIMIT))
    found = _ids_after(_decode(cursor), search, limit + 1)
    more = len(found) > limit
    found = found[:limit]
    return Page(items=_summaries(found), next=_encode(found[-1]) if more else "")


def summary(incident_id: str) -> IncidentSummary | None:
    """What is known of one incident, or None when nothing names it."""
    if not valid_incident_id(incident_id):
        return None
    found = _summaries([incident_id])[0]
    return found if found.bundles or found.jobs or found.restored_at else None


def ids(*, search: str, limit: int) -> list[str]:
    """The first ids that contain `search`, whatever its case, and before them the one that is `search`."""
    if not search or not re.fullmatch(f"[{INCIDENT_ID_CHARACTERS}]+", search):
        return []
    values: dict[str, Any] = {"after": "", "search": search.lower(), "exact": search, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_EXACT_FIRST.format(matching=_MATCHING_IDS), values)
        return [row[0] for row in cursor.fetchall()]


def near(incident_id: str, *, limit: int) -> list[str]:
    """Ids with a bundle or a restore that `incident_id` may have been meant to be, the most similar first.

    At most `CANDIDATES` ids are compared, whatever their case: those that begin with its first half, or, when none of
    them is similar, with its first character.
    """
    wanted = incident_id.lower()
    for start in dict.fromkeys((wanted[: len(wanted) // 2], wanted[:1])):
        if not start or "\x00" in start:
            continue
        with connection.cursor() as cursor:
            cursor.execute(_BEGINNING_WITH, {"start": start, "limit": CANDIDATES})
            candidates = {row[0].lower(): row[0] for row in cursor.fetchall() if row[0] != incident_id}
        if found := difflib.get_close_matches(wanted, candidates, n=limit, cutoff=LEAST_SIMILAR):
            return [candidates[one] for one in found]
    return []


def _ids_after(after: str, search: str, limit: int) -> list[str]:
    if not re.fullmatch(f"[{INCIDENT_ID_CHARACTERS}]*", search):
        return []  # no id holds such a character
    with connection.cursor() as cursor:
        query = _MATCHING_IDS if search else _NEXT_IDS
        cursor.execute(query, {"after": after, "search": search.lower(), "limit": limit})
        return [row[0] for row in cursor.fetchall()]


def _summaries(incident_ids: list[str]) -> list[IncidentSummary]:
    jobs = dict(Job.objects.filter(incident_id__in=incident_ids).values_list("incident_id").annotate(count=Count("pk")))
    bundles = dict(
        Bundle.objects.filter(incident_id__in=incident_ids).values_list("incident_id").annotate(count=Count("pk"))
    )
    newest = Bundle.objects.filter(incident_id__in=incident_ids).order_by("incident_id", "-created_at")
    last = {bundle.incident_id: bundle for bundle in newest.distinct("incident_id")}
    restored = RestoredIncident.objects.in_bulk(incident_ids)
    made = []
    for incident_id in incident_ids:
        here = restored.get(incident_id)
        made.append(
            IncidentSummary(
                incident_id=incident_id,
                bundles=bundles.get(incident_id, 0),
                jobs=jobs.get(incident_id, 0),
                restored_at=here.restored_at if here else None,
                alerts=here.alerts if here else 0,
                events=here.events if here else 0,
                artifacts=here.artifacts if here else 0,
                last_bundle=last.get(incident_id),
            )
        )
    return made


def _encode(incident_id: str) -> str:
    return base64.urlsafe_b64encode(incident_id.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    if not cursor:
        return ""
    try:
        value = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise CursorInvalidError("This cursor cannot be read; start again without one.") from error
    if not valid_incident_id(value):
        raise CursorInvalidError("This cursor does not belong to this list; start again without one.")
    return value
