"""Stores the events of a timeline in a table, per incident and origin; replaced when the timeline changes.

Everything in the table is derived from the evidence and can be rebuilt at any time. A timeline replaces the previous
one in the caller's transaction, so a page never sees half of one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from bundles.format.model import paths
from bundles.format.model.records import iter_array, parse_record, read_timeline
from bundles.models import KeptTimeline
from bundles.timelines.reading import SEVERITIES, Point, point_of, severity_of
from bundles.timelines.span import main_stretch
from bundles.timelines.times import UNDATED

T = TypeVar("T")

MOST_EVENTS = 250_000
BATCH = 2000
COLUMNS = ("at_us", "time", "phase", "severity", "kind", "technique", "source", "target", "words")  # as in Point
_values = attrgetter(*COLUMNS)

_POINTS = """
INSERT INTO orchestrator_timeline_points
    (timeline_id, position, at_us, time, phase, severity, kind, technique, source, target, words)
SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::smallint[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::text[])"""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A bundle's timeline, read before the transaction that stores it.

    Attributes:
        rows: the scratch file with one point per line; must exist until the points are stored.
        sha256: of `timeline.json`.
        counts: `events`, `alerts` (by severity) and `artifacts`; None for each that the bundle does not have.
    """

    rows: Path
    sha256: str
    counts: dict[str, Any]


def prepare(
    members: dict[str, Path], sha256_of: dict[str, str], scratch: Path, check: Callable[[], None] = lambda: None
) -> Prepared:
    """Read a bundle's data members.

    Args:
        members: `timeline.json`, `alerts.json`, `artifacts.json` → the file, if the bundle has it.
        sha256_of: member → its SHA-256 (hex).
        scratch: the new file for the points.
        check: called often; raises to stop the work.

    Raises:
        RecordError: a member is malformed.
    """
    events: int | None = None
    if paths.TIMELINE in members:
        events = 0
        with scratch.open("x", encoding="ascii") as out:
            for event, _ in _checked(read_timeline(members[paths.TIMELINE]).events, check):
                events += 1
                if events <= MOST_EVENTS:
                    out.write(json.dumps(_values(point_of(event))) + "\n")
    alerts: dict[str, int] | None = None
    if paths.ALERTS in members:
        records = _checked(iter_array(members[paths.ALERTS]), check)
        found = Counter(severity_of(record.get("severity")) for record, _ in records)
        alerts = {SEVERITIES[severity]: count for severity, count in found.items()}
    artifacts = sum(1 for _ in iter_array(members[paths.ARTIFACTS])) if paths.ARTIFACTS in members else None
    counts = {"events": events, "alerts": alerts, "artifacts": artifacts}
    return Prepared(rows=scratch, sha256=sha256_of.get(paths.TIMELINE, ""), counts=counts)


def keep_bundled(incident_id: str, bundle_id: UUID, prepared: Prepared) -> None:
    """Store a bundle's timeline as that of its incident; a bundle without a timeline changes nothing."""
    events = prepared.counts["events"]
    if events is None:
        return
    _lock(incident_id, KeptTimeline.Origin.BUNDLE)
    kept = KeptTimeline.objects.filter(incident_id=incident_id, origin=KeptTimeline.Origin.BUNDLE).first()
    if kept is not None and kept.sha256 == prepared.sha256:
        KeptTimeline.objects.filter(pk=kept.pk).update(bundle_id=bundle_id)
        return
    with prepared.rows.open(encoding="ascii") as lines:
        points = (Point(*json.loads(line)) for line in lines)
        _replace(incident_id, KeptTimeline.Origin.BUNDLE, points, events, bundle_id=bundle_id, sha256=prepared.sha256)


def keep_restored(incident_id: str, records: Iterable[str], events: int) -> None:
    """Store restored events as the restored timeline of their incident.

    Args:
        incident_id: the incident.
        records: the canonical record of each event, in order.
        events: their number.
    """
    _lock(incident_id, KeptTimeline.Origin.RESTORED)
    points = (point_of(parse_record(record)) for record in islice(records, MOST_EVENTS))
    _replace(incident_id, KeptTimeline.Origin.RESTORED, points, events)


def _lock(incident_id: str, origin: str) -> None:
    """Lock this timeline against other writers until the caller's transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"timeline {origin} {incident_id}"])


def _replace(incident_id: str, origin: str, points: Iterable[Point], events: int, **about: Any) -> None:
    KeptTimeline.objects.filter(incident_id=incident_id, origin=origin).delete()
    kept = KeptTimeline.objects.create(incident_id=incident_id, origin=origin, events=events, read_at=Now(), **about)
    if events > MOST_EVENTS:
        return
    dated, first, last = 0, UNDATED, 0
    position = 0
    with connection.cursor() as cursor:
        for batch in _batches(points):
            columns = [[getattr(point, name) for point in batch] for name in COLUMNS]
            cursor.execute(_POINTS, [kept.pk, list(range(position, position + len(batch))), *columns])
            position += len(batch)
            times = [point.at_us for point in batch if point.at_us != UNDATED]
            if times:
                first, last = min(first, *times), max(last, *times) if dated else max(times)
                dated += len(times)
    KeptTimeline.objects.filter(pk=kept.pk).update(kept=position)
    if dated:
        start, end = main_stretch(kept.pk, dated, first, last)
        KeptTimeline.objects.filter(pk=kept.pk).update(
            dated=dated, first_us=first, last_us=last, main_first_us=start, main_last_us=end
        )


def _checked(records: Iterator[T], check: Callable[[], None]) -> Iterator[T]:
    """`records`, calling `check` every 1000."""
    for number, record in enumerate(records):
        if number % 1000 == 0:
            check()
        yield record


def _batches(points: Iterable[Point]) -> Iterator[list[Point]]:
    left = iter(points)
    while batch := list(islice(left, BATCH)):
        yield batch
