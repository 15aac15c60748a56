"""Finds events and alerts by their words, through the index of all records that were bundled or restored here.

A rare word costs one walk of the full-text index. Of a frequent one, the first `MOST_READ` matching records are
counted, and each incident that was not reached is asked whether it has one, for `OTHERS_WITHIN_MS` at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from typing import Any

from django.db import OperationalError, connection, transaction

from bundles.models import KeptTimeline
from bundles.timelines import terms
from bundles.timelines.reading import ALERT, ARTIFACT, EVENT
from foundation.db_session import ANY_PLAN
from foundation.principal import Principal
from incidents.search.question import Question

__all__ = ["ALERT", "ARTIFACT", "EVENT", "FoundRecord", "FoundRecords", "OfIncident", "records"]

MOST_READ = 2_000
OTHERS_WITHIN_MS = 100
EXCERPT_FROM = 4_000  # characters of a record that are searched for the matching words
MOST_OTHERS = 100
QUERY_CANCELED = "57014"  # of SQLSTATE
NEEDS = {
    KeptTimeline.Origin.BUNDLE: "bundles.view_bundle",
    KeptTimeline.Origin.RESTORED: "rehydration.view_restoredincident",
}

# MATERIALIZED and without the record itself: the sort below holds references only. What the reader does not see is left
# out before the limit counts.
_COUNT = """
WITH hit AS MATERIALIZED (
    SELECT timeline_id, kind, at_us, position FROM orchestrator_indexed_records
    WHERE terms @@ %(query)s::tsquery
        AND timeline_id <> ALL(ARRAY(SELECT id FROM orchestrator_timelines WHERE origin <> ALL(%(origins)s)))
    LIMIT %(most)s
)
SELECT kept.incident_id, kept.origin, kept.id, counted.kind, counted.number, counted.first
FROM (
    SELECT timeline_id, kind, count(*) AS number,
        (array_agg(ARRAY[at_us, position] ORDER BY at_us, position))[1:%(rows)s] AS first
    FROM hit GROUP BY timeline_id, kind
) AS counted JOIN orchestrator_timelines AS kept ON kept.id = counted.timeline_id
WHERE kept.origin = ANY(%(origins)s) ORDER BY kept.read_at DESC, kept.id DESC
"""
# Two statements in one string are one transaction, which the limit ends with.
_LIMITED = "SELECT set_config('statement_timeout', %(limit)s, true);"
_ROWS = f"""
SELECT record.timeline_id, record.kind, record.position, record.at_us, record.time, record.phase, record.severity,
    record.what, record.technique, record.source, record.target, left(record.record, {EXCERPT_FROM})
FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS wanted (timeline_id, kind, position)
JOIN orchestrator_indexed_records AS record USING (timeline_id, kind, position)
ORDER BY record.at_us, record.position
"""  # noqa: S608 # a number of our own
_OTHERS = """
SELECT kept.incident_id FROM orchestrator_timelines AS kept
CROSS JOIN LATERAL (
    SELECT FROM orchestrator_indexed_records AS record
    WHERE record.timeline_id = kept.id AND record.terms @@ %(query)s::tsquery LIMIT 1) AS has_one
WHERE kept.origin = ANY(%(origins)s) AND kept.id <> ALL(%(seen)s)
ORDER BY kept.read_at DESC, kept.id DESC LIMIT %(most)s
"""


@dataclass(frozen=True, kw_only=True)
class FoundRecord:
    """A matching event or alert, or the record of an artifact.

    Attributes:
        kind: `event`, `alert` or `artifact`.
        position: its place among its kind as it was served, from 0.
        at_us: microseconds since 1970, UTC; `UNDATED` if its time cannot be read.
        time: the time as the record writes it.
        phase: of the kill chain; empty if it names none.
        severity: 0 (unrated) to 5 (critical).
        what: its title.
        technique: of ATT&CK.
        source: host or address.
        target: host or address.
        record: the beginning of its JSON.
    """

    kind: str
    position: int
    at_us: int
    time: str
    phase: str
    severity: int
    what: str
    technique: str
    source: str
    target: str
    record: str


@dataclass
class OfIncident:
    """The matching records of one incident, from one origin.

    Attributes:
        origin: `bundle` or `restored`.
        timeline: the key of its index.
        counts: kind → how many match.
        places: kind → the positions of the first of them by time.
        first: those records, where they were read.
    """

    origin: str
    timeline: int
    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[int]] = field(default_factory=dict)
    first: list[FoundRecord] = field(default_factory=list)

    @property
    def matches(self) -> int:
        """How many match, of all kinds."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class FoundRecords:
    """The records found.

    Attributes:
        of: incident id → its matching records; those that were read last come first.
        others: ids of further incidents that have one.
        is_cut: whether more records match than were read, so that the counts are the least possible.
        is_complete: whether all incidents with a matching record are in `of` or `others`.
    """

    of: dict[str, OfIncident] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    is_cut: bool = False
    is_complete: bool = True


def records(principal: Principal, question: Question, *, rows: int, limit: int) -> FoundRecords:
    """The events, alerts and records of artifacts that contain every word of the text.

    Args:
        principal: what was bundled needs `bundles.view_bundle`, what was restored `rehydration.view_restoredincident`.
        question: the search text.
        rows: how many records of each kind are returned of an incident.
        limit: for how many incidents records are returned; of the others only the counts are.
    """
    origins = origins_for(principal)
    queries = _queries(question.text)
    if not queries or not origins:
        return FoundRecords()
    counted: list[tuple[str, str, int, str, int, list[list[int]]]] = []
    for query in queries:
        values: dict[str, Any] = {"query": query, "most": MOST_READ + 1, "rows": rows, "origins": origins}
        with connection.cursor() as cursor:
            cursor.execute(ANY_PLAN + _COUNT, values)
            counted = cursor.fetchall()
        if counted:
            break
    is_cut = sum(number for *_, number, _ in counted) > MOST_READ
    of = _by_incident(counted)
    _read_rows(list(of.values())[:limit])
    others: tuple[str, ...] | None = ()
    if is_cut:
        others = _others(query, origins, [timeline for _, _, timeline, *_ in counted])
    found = dict.fromkeys(one for one in others or () if one not in of)
    is_complete = others is not None and len(others) < MOST_OTHERS
    return FoundRecords(of=of, others=tuple(found), is_cut=is_cut, is_complete=is_complete)


def _queries(text: str) -> list[str]:
    """What is asked one after the other until something matches: several words as they are, then with open ends."""
    query, whole = terms.query_of(text), terms.query_of(text, whole=True)
    if not query:
        return []
    several = len(terms.WORD.findall(text)) > 1
    return [whole, query] if several and whole != query else [query]


def origins_for(principal: Principal) -> list[str]:
    """The origins of records that `principal` may see."""
    return [str(origin) for origin, permission in NEEDS.items() if principal.may(permission)]


def _by_incident(counted: Iterable[tuple[str, str, int, str, int, list[list[int]]]]) -> dict[str, OfIncident]:
    """Of each incident the origin with the most matches: the other mostly has the same records."""
    by_timeline: dict[int, tuple[str, OfIncident]] = {}
    for incident_id, origin, timeline, kind, number, first in counted:
        _, of = by_timeline.setdefault(timeline, (incident_id, OfIncident(origin, timeline)))
        of.counts[kind] = number
        of.places[kind] = [position for _, position in first]
    chosen: dict[str, OfIncident] = {}
    for incident_id, of in by_timeline.values():
        known = chosen.get(incident_id)
        if known is None or of.matches > known.matches:
            chosen[incident_id] = of
    return chosen


def _read_rows(of: Sequence[OfIncident]) -> None:
    """Read the first records of each."""
    wanted = [
        (one.timeline, kind, position) for one in of for kind, places in one.places.items() for position in places
    ]
    if not wanted:
        return
    by_timeline = {one.timeline: one for one in of}
    names = [one.name for one in fields(FoundRecord)]
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [*(list(column) for column in zip(*wanted, strict=True))])
        for timeline, *values in cursor.fetchall():
            by_timeline[timeline].first.append(FoundRecord(**dict(zip(names, values, strict=True))))


def _others(query: str, origins: list[str], seen: list[int]) -> tuple[str, ...] | None:
    """Further incidents with a matching record; None when that takes too long to find out."""
    nested = connection.in_atomic_block
    values: dict[str, Any] = {
        "query": query,
        "origins": origins,
        "seen": seen,
        "most": MOST_OTHERS,
        "limit": str(OTHERS_WITHIN_MS),
    }
    try:
        with transaction.atomic() if nested else nullcontext(), connection.cursor() as cursor:
            cursor.execute(_LIMITED + _OTHERS, values)
            found = tuple(row[0] for row in cursor.fetchall())
            if nested:
                transaction.set_rollback(True)  # ends the limit; nothing was written
            return found
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", "") != QUERY_CANCELED:
            raise
        return None
