"""Queries an incident's timeline: events grouped by phase and time for the drawing, and page by page.

The database gathers; what comes back is bounded by phases times buckets, however many events there are. Every event
that the filter lets through is counted once: in a cluster on the axis or beside it, or among those without a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from bundles.models import KeptTimeline, TimelinePoint
from bundles.timelines.reading import PHASES, SEVERITIES, UNASSIGNED
from bundles.timelines.span import MARKS
from bundles.timelines.times import UNDATED
from foundation import keyset
from foundation.keyset import Page
from incidents.timeline.filters import Filter

NO_TIME, EARLIER, LATER = -1, -2, -3  # stretches beside the axis
EVENTS_A_PAGE = 25
LANES = (*PHASES, UNASSIGNED)

# One walk of the index for each stretch of time: few rows to group at once, no sorting of all of them. The kind named
# for a cluster is the most frequent of its worst severity. Undated events have their own stretch, and so
# have events before and after the axis.
_GATHER = """
WITH stretch (bucket, first_us, last_us) AS (
    SELECT n, %(start)s + n * %(width)s, LEAST(%(start)s + (n + 1) * %(width)s - 1, %(end)s)
    FROM generate_series(0::bigint, %(buckets)s::bigint - 1) AS n
    UNION ALL SELECT %(no_time)s, %(undated)s, %(undated)s WHERE %(with_undated)s
    UNION ALL SELECT %(earlier)s, %(first)s, %(start)s - 1 WHERE %(first)s < %(start)s
    UNION ALL SELECT %(later)s, %(end)s + 1, %(last)s WHERE %(end)s < %(last)s
)
SELECT gathered.phase, gathered.severity, stretch.bucket, gathered.events, gathered.first_us, gathered.last_us,
    gathered.kind
FROM stretch CROSS JOIN LATERAL (
    SELECT phase, severity, sum(events)::bigint AS events, min(first_us) AS first_us, max(last_us) AS last_us,
        (array_agg(kind ORDER BY events DESC, kind))[1] AS kind
    FROM (
        SELECT phase, severity, kind, count(*) AS events, min(at_us) AS first_us, max(at_us) AS last_us
        FROM orchestrator_timeline_points
        WHERE timeline_id = %(timeline)s AND at_us BETWEEN stretch.first_us AND stretch.last_us {narrowed}
        GROUP BY phase, severity, kind
    ) AS of_kind GROUP BY phase, severity
) AS gathered
"""


@dataclass(frozen=True)
class Axis:
    """The time that a drawing covers, and the time that was asked for; microseconds since 1970, all included.

    Attributes:
        first_us: where the asked time begins, no earlier than the timeline.
        start_us: where the drawing begins.
        end_us: where it ends; before its start when what was asked for and the timeline never meet.
        last_us: where the asked time ends, no later than the timeline.
    """

    first_us: int
    start_us: int
    end_us: int
    last_us: int

    @property
    def width_us(self) -> int:
        """How much time a mark covers."""
        return max(1, -(-(self.end_us - self.start_us + 1) // MARKS))


@dataclass
class Cluster:
    """The events of one phase in one stretch of time."""

    phase: str
    bucket: int
    events: int = 0
    first_us: int = UNDATED
    last_us: int = -UNDATED
    kind: str = ""
    severities: Counter[int] = field(default_factory=Counter)

    @property
    def worst(self) -> int:
        """The highest severity among them."""
        return max(self.severities)


@dataclass
class Lane:
    """One phase: how many events, by severity, from when to when.

    Attributes:
        clusters: those on the axis.
        earlier: those before it, in one cluster.
        later: those after it.
        undated: how many have no valid time.
    """

    phase: str
    severities: Counter[int] = field(default_factory=Counter)
    clusters: list[Cluster] = field(default_factory=list)
    earlier: Cluster | None = None
    later: Cluster | None = None
    undated: int = 0

    @property
    def events(self) -> int:
        """All events of the lane, dated or not."""
        return sum(self.severities.values())

    @property
    def dated(self) -> list[Cluster]:
        """Every cluster, on the axis and beside it."""
        return [*self.clusters, *(beside for beside in (self.earlier, self.later) if beside)]

    @property
    def first_us(self) -> int | None:
        """The earliest time."""
        return min((cluster.first_us for cluster in self.dated), default=None)

    @property
    def last_us(self) -> int | None:
        """The latest time."""
        return max((cluster.last_us for cluster in self.dated), default=None)


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What a filter lets through.

    Attributes:
        lanes: those with events, in the order of an attack, what has no phase last.
        axis: the time that the drawing covers.
    """

    lanes: list[Lane]
    axis: Axis

    @property
    def events(self) -> int:
        """All of them."""
        return sum(lane.events for lane in self.lanes)

    @property
    def undated(self) -> int:
        """Those without a time that can be read; no drawing can place them."""
        return sum(lane.undated for lane in self.lanes)

    @property
    def earlier(self) -> list[Cluster]:
        """Those that lie before the axis, by phase."""
        return [lane.earlier for lane in self.lanes if lane.earlier]

    @property
    def later(self) -> list[Cluster]:
        """Those that lie after it."""
        return [lane.later for lane in self.lanes if lane.later]

    @property
    def beside(self) -> int:
        """How many lie beside the axis."""
        return sum(cluster.events for cluster in (*self.earlier, *self.later))

    @property
    def severities(self) -> Counter[int]:
        """All of them by severity."""
        return sum((lane.severities for lane in self.lanes), Counter())


def gather(kept: KeptTimeline, wanted: Filter) -> Gathered:
    """Gather the events of a timeline by phase, severity and time, in one query."""
    axis = _axis(kept, wanted)
    narrowed, values = _narrowed(wanted)
    values |= {
        "timeline": kept.pk, "first": axis.first_us, "start": axis.start_us, "end": axis.end_us, "last": axis.last_us,
        "width": axis.width_us, "buckets": MARKS, "undated": UNDATED, "with_undated": not wanted.has_times,
        "no_time": NO_TIME, "earlier": EARLIER, "later": LATER,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_GATHER.replace("{narrowed}", narrowed), values)
        rows = cursor.fetchall()
    return Gathered(lanes=_lanes(rows), axis=axis)


def events_page(kept: KeptTimeline, wanted: Filter, cursor: str = "") -> Page[TimelinePoint]:
    """One page of the same events, oldest first; those without a time stand last.

    Raises:
        CursorInvalidError: the cursor is not one of this list.
    """
    return keyset.page(_points(kept, wanted), order=("at_us", "position"), cursor=cursor, limit=EVENTS_A_PAGE)


def bucket_range(gathered: Gathered, bucket: int) -> tuple[int, int]:
    """The first and last microsecond of a stretch of the time axis."""
    axis = gathered.axis
    start = axis.start_us + bucket * axis.width_us
    return start, min(start + axis.width_us - 1, axis.end_us)


def _axis(kept: KeptTimeline, wanted: Filter) -> Axis:
    """From one asked end to the other; an end that nobody asked for is that of the timeline's main stretch."""
    first = max(kept.first_us or 0, -UNDATED if wanted.since_us is None else wanted.since_us)
    last = min(kept.last_us or 0, UNDATED if wanted.until_us is None else wanted.until_us)
    start = first if wanted.since_us is not None else max(first, kept.main_first_us or 0)
    end = last if wanted.until_us is not None else min(last, kept.main_last_us or 0)
    return Axis(first, start, end, last) if start <= end else Axis(first, first, last, last)


def _narrowed(wanted: Filter) -> tuple[str, dict[str, Any]]:
    """The filter but for its times, which the stretches keep to."""
    conditions = {
        "AND phase = %(phase)s": wanted.phase,
        "AND severity BETWEEN %(least)s AND %(most)s": wanted.severities,
        "AND strpos(words, %(text)s) > 0": wanted.text.lower() or None,
    }
    least, most = wanted.severities or (None, None)
    clauses = " ".join(condition for condition, value in conditions.items() if value is not None)
    return clauses, {"phase": wanted.phase, "least": least, "most": most, "text": wanted.text.lower()}


def _points(kept: KeptTimeline, wanted: Filter) -> QuerySet[TimelinePoint]:
    return TimelinePoint.objects.filter(wanted.condition(), timeline_id=kept.pk)


def _lanes(rows: Iterable[tuple[str, int, int, int, int, int, str]]) -> list[Lane]:
    lanes = {phase: Lane(phase) for phase in LANES}
    clusters: dict[tuple[str, int], Cluster] = {}
    for phase, severity, bucket, events, first_us, last_us, kind in sorted(rows):
        lane = lanes[phase]
        lane.severities[severity] += events
        if bucket == NO_TIME:
            lane.undated += events
            continue
        cluster = clusters.get((phase, bucket))
        if cluster is None:
            cluster = clusters[phase, bucket] = Cluster(phase, bucket)
            _add(lane, cluster)
        cluster.events += events
        cluster.severities[severity] += events
        cluster.first_us, cluster.last_us = min(cluster.first_us, first_us), max(cluster.last_us, last_us)
        cluster.kind = kind  # severities come in rising order: the last is the worst
    for lane in lanes.values():
        lane.clusters.sort(key=lambda cluster: cluster.bucket)
    return [lane for lane in lanes.values() if lane.severities]


def _add(lane: Lane, cluster: Cluster) -> None:
    if cluster.bucket == EARLIER:
        lane.earlier = cluster
    elif cluster.bucket == LATER:
        lane.later = cluster
    else:
        lane.clusters.append(cluster)


def severity_rows(counted: Counter[int]) -> list[tuple[str, int]]:
    """Severities that occur, the worst first, each with its count."""
    return [(SEVERITIES[severity], counted[severity]) for severity in sorted(counted, reverse=True)]
