"""Queries an incident's records: grouped by lane and time for the drawing, and page by page.

The database gathers; what comes back is bounded by lanes times buckets, however many records there are. Every record
that the filter lets through is counted once: in a cluster on the axis or beside it, or among those without a time. A
filter of phase, severity and time is answered by the stored counts, so a million records are not read. Of what a text,
technique, host or account matches, the first `MOST_MATCHES` by time are read and the answer says that there are more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import BigIntegerField, Case, Count, F, Max, Min, Q, QuerySet, Sum, TextField, Value, When

from bundles.models import IndexedRecord, KeptTimeline, RecordCount
from bundles.timelines.facts import EARLIER, LATER, NO_TIME, width_us
from bundles.timelines.reading import ALERT, ARTIFACT, EVENT, PHASES, UNASSIGNED
from bundles.timelines.severities import SEVERITIES
from bundles.timelines.span import MARKS
from bundles.timelines.times import UNDATED
from foundation import keyset
from foundation.keyset import Page
from incidents.timeline.filters import EVERYTHING, Filter

RECORDS_A_PAGE = 25
MOST_MATCHES = 5_000
ORDER = ("at_us", "kind", "position")
COLUMNS = ("kind", "lane", "severity", "bucket", "records", "first", "last")
LANES = (*((EVENT, phase) for phase in (*PHASES, UNASSIGNED)), (ALERT, ""), (ARTIFACT, ""))
BY_PHASE = Case(When(kind=EVENT, then=F("phase")), default=Value(""), output_field=TextField())
Row = tuple[str, str, int, int, int, int, int]


@dataclass(frozen=True)
class Axis:
    """The time that a drawing covers, and the time that was asked for; microseconds since 1970, all included.

    Attributes:
        first_us: where the asked time begins, no earlier than the records.
        start_us: where the drawing begins.
        end_us: where it ends; before its start when what was asked for and the records never meet.
        last_us: where the asked time ends, no later than the records.
        grid_us: where the first bucket begins: the start, or the interval of the stored counts that contains it.
        width_us: how much time a bucket covers.
        intervals: intervals of the stored counts in a bucket; 0 if the buckets are not made of intervals.
    """

    first_us: int
    start_us: int
    end_us: int
    last_us: int
    grid_us: int
    width_us: int
    intervals: int = 0


@dataclass
class Cluster:
    """The records of one lane in one bucket of time."""

    bucket: int
    records: int = 0
    first_us: int = UNDATED
    last_us: int = -UNDATED
    severities: Counter[int] = field(default_factory=Counter)

    @property
    def worst(self) -> int:
        """The highest severity among them."""
        return max(self.severities)


@dataclass
class Lane:
    """One phase of events, or all alerts, or all artifacts.

    Attributes:
        kind: of its records.
        phase: of its events; empty for the other kinds, and for events without a phase.
        severities: severity → number of records, dated or not.
        clusters: those on the axis, in order of time.
        earlier: those before it, in one cluster.
        later: those after it.
        undated: how many have no valid time.
    """

    kind: str
    phase: str
    severities: Counter[int] = field(default_factory=Counter)
    clusters: list[Cluster] = field(default_factory=list)
    earlier: Cluster | None = None
    later: Cluster | None = None
    undated: int = 0

    @property
    def records(self) -> int:
        """All records of the lane, dated or not."""
        return self.severities.total()

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


@dataclass
class Gathered:
    """All lanes that have records, in the order of the kill chain, then alerts and artifacts.

    With `is_cut`, more records match: these are the first `MOST_MATCHES` by time.
    """

    lanes: list[Lane]
    axis: Axis
    is_cut: bool = False

    @property
    def records(self) -> int:
        """How many records the filter lets through."""
        return sum(lane.records for lane in self.lanes)

    def of_kind(self, kind: str) -> Gathered:
        """The lanes of one kind; all for `EVERYTHING`."""
        return replace(self, lanes=[lane for lane in self.lanes if kind in (lane.kind, EVERYTHING)])

    @property
    def undated(self) -> int:
        """How many of them have no valid time."""
        return sum(lane.undated for lane in self.lanes)

    @property
    def earlier(self) -> list[Cluster]:
        """What lies before the axis, by lane."""
        return [lane.earlier for lane in self.lanes if lane.earlier]

    @property
    def later(self) -> list[Cluster]:
        """What lies after it."""
        return [lane.later for lane in self.lanes if lane.later]

    @property
    def beside(self) -> int:
        """How many lie before or after the axis."""
        return sum(cluster.records for cluster in (*self.earlier, *self.later))


def gather(kept: KeptTimeline, wanted: Filter) -> Gathered:
    """Gather an incident's records by lane, severity and time, in one query."""
    axis = _axis(kept, wanted)
    if axis.intervals:
        return Gathered(lanes=_lanes(_from_counts(kept, wanted, axis)), axis=axis)
    records = _records(kept, wanted)
    if wanted.is_counted or kept.kept <= MOST_MATCHES:
        return Gathered(lanes=_lanes(_grouped(records, axis)), axis=axis)
    return _gather_first(kept, wanted, records)


def _gather_first(kept: KeptTimeline, wanted: Filter, records: QuerySet[IndexedRecord]) -> Gathered:
    """The first `MOST_MATCHES` by time; the axis ends with the last of them if there are more."""
    found = records.order_by(*ORDER).annotate(lane=BY_PHASE).values_list("kind", "lane", "severity", "at_us")
    first = list(found[: MOST_MATCHES + 1])
    is_cut = len(first) > MOST_MATCHES
    first = first[:MOST_MATCHES]
    if is_cut and (dated := [at_us for *_, at_us in first if at_us != UNDATED]):
        wanted = replace(wanted, until_us=dated[-1])
    axis = _axis(kept, wanted)
    rows = ((kind, lane, severity, _bucket_of(at_us, axis), 1, at_us, at_us) for kind, lane, severity, at_us in first)
    return Gathered(lanes=_lanes(rows), axis=axis, is_cut=is_cut)


def records_page(
    kept: KeptTimeline, wanted: Filter, kind: str, cursor: str = "", limit: int = RECORDS_A_PAGE
) -> Page[IndexedRecord]:
    """One page of the same records, oldest first; those without a time come last.

    Raises:
        CursorInvalidError: the cursor is not one of this list.
    """
    found = _records(kept, wanted)
    if kind != EVERYTHING:
        found = found.filter(kind=kind)
    return keyset.page(found.defer("terms"), order=ORDER, cursor=cursor, limit=limit)


def bucket_range(axis: Axis, bucket: int) -> tuple[int, int]:
    """The first and last microsecond of a bucket."""
    start = axis.grid_us + bucket * axis.width_us
    return max(start, axis.start_us), min(start + axis.width_us - 1, axis.end_us)


def severity_rows(counted: Counter[int]) -> list[tuple[str, int]]:
    """Severities that occur, the worst first, each with its count."""
    return [(SEVERITIES[severity], counted[severity]) for severity in sorted(counted, reverse=True)]


def _records(kept: KeptTimeline, wanted: Filter) -> QuerySet[IndexedRecord]:
    return IndexedRecord.objects.filter(wanted.condition(), timeline_id=kept.pk)


def _axis(kept: KeptTimeline, wanted: Filter) -> Axis:
    """From one asked end to the other; an end that nobody asked for is that of the main span."""
    first = max(kept.first_us or 0, -UNDATED if wanted.since_us is None else wanted.since_us)
    last = min(kept.last_us or 0, UNDATED if wanted.until_us is None else wanted.until_us)
    start = first if wanted.since_us is not None else max(first, kept.main_first_us or 0)
    end = last if wanted.until_us is not None else min(last, kept.main_last_us or 0)
    if start > end:
        start, end = first, last
    axis = Axis(first, start, end, last, grid_us=start, width_us=max(1, -(-(end - start + 1) // MARKS)))
    return _on_intervals(kept, axis) if wanted.is_counted else axis


def _on_intervals(kept: KeptTimeline, axis: Axis) -> Axis:
    """The axis with buckets made of the stored intervals, if it has at least one for each bucket."""
    base, end = kept.main_first_us or 0, kept.main_last_us or 0
    if not base <= axis.start_us <= axis.end_us <= end:
        return axis
    width = width_us(base, end)
    first, last = (axis.start_us - base) // width, (axis.end_us - base) // width
    if last - first + 1 < MARKS:
        return axis
    intervals = -(-(last - first + 1) // MARKS)
    return replace(axis, grid_us=base + first * width, width_us=intervals * width, intervals=intervals)


def _bucket_of(at_us: int, axis: Axis) -> int:
    """The bucket of a time, as `_grouped` computes it."""
    if at_us == UNDATED:
        return NO_TIME
    if not axis.start_us <= at_us <= axis.end_us:
        return EARLIER if at_us < axis.start_us else LATER
    return (at_us - axis.grid_us) // axis.width_us


def _grouped(records: QuerySet[IndexedRecord], axis: Axis) -> QuerySet[IndexedRecord, Any]:
    bucket = Case(
        When(at_us=UNDATED, then=Value(NO_TIME)),
        When(at_us__lt=axis.start_us, then=Value(EARLIER)),
        When(at_us__gt=axis.end_us, then=Value(LATER)),
        default=(F("at_us") - axis.grid_us) / axis.width_us,
        output_field=BigIntegerField(),
    )
    grouped = records.order_by().annotate(lane=BY_PHASE, bucket=bucket).values("kind", "lane", "severity", "bucket")
    return grouped.annotate(records=Count("*"), first=Min("at_us"), last=Max("at_us")).values_list(*COLUMNS)


def _from_counts(kept: KeptTimeline, wanted: Filter, axis: Axis) -> Iterable[Row]:
    """Whole intervals from the counts; the records of an interval that the asked time cuts, one by one."""
    width = axis.width_us // axis.intervals
    base = kept.main_first_us or 0
    first = (axis.grid_us - base) // width
    whole_from = first if axis.grid_us == axis.start_us else first + 1
    last = (axis.end_us - base) // width
    ends_whole = axis.end_us == kept.main_last_us or axis.end_us == base + (last + 1) * width - 1
    whole_to = last if ends_whole else last - 1
    outside = [] if wanted.has_times else [NO_TIME]
    outside += [EARLIER] if wanted.since_us is None else []
    outside += [LATER] if wanted.until_us is None else []
    bucket = Case(When(bucket__lt=0, then=F("bucket")), default=(F("bucket") - first) / axis.intervals)
    counts = RecordCount.objects.filter(wanted.untimed(), timeline_id=kept.pk)
    counts = counts.filter(Q(bucket__range=(whole_from, whole_to)) | Q(bucket__in=outside))
    grouped = counts.annotate(lane=BY_PHASE, drawn=bucket).values("kind", "lane", "severity", "drawn")
    summed = grouped.annotate(sum=Sum("records"), first=Min("first_us"), last=Max("last_us"))
    rows = summed.values_list("kind", "lane", "severity", "drawn", "sum", "first", "last")
    if whole_from == first and ends_whole:
        return rows
    cut = Q(at_us__range=(axis.start_us, base + whole_from * width - 1))
    cut |= Q(at_us__range=(base + (whole_to + 1) * width, axis.end_us))
    return rows.union(_grouped(_records(kept, wanted).filter(cut), axis), all=True)


def _lanes(rows: Iterable[Row]) -> list[Lane]:
    lanes = {key: Lane(*key) for key in LANES}
    clusters: dict[tuple[str, str, int], Cluster] = {}
    for kind, phase, severity, bucket, records, first_us, last_us in rows:
        lane = lanes[kind, phase]
        lane.severities[severity] += records
        if bucket == NO_TIME:
            lane.undated += records
            continue
        cluster = clusters.get((kind, phase, bucket))
        if cluster is None:
            cluster = clusters[kind, phase, bucket] = Cluster(bucket)
            _add(lane, cluster)
        cluster.records += records
        cluster.severities[severity] += records
        cluster.first_us, cluster.last_us = min(cluster.first_us, first_us), max(cluster.last_us, last_us)
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
