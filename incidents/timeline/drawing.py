"""An incident's records as histograms on one axis of time: numbers in, coordinates and sentences out.

One lane for each phase of events, one for alerts, one for artifacts. A bar is the records of a lane in a bucket of
time, stacked by severity with the worst at the bottom. Each severity has its own filling and its own place in the
stack, and a bar with a critical record carries a diamond, so nothing relies on colour. Each bar is a link with a
description; the template writes the SVG.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from bundles.timelines.reading import ALERT, ARTIFACT, EVENT
from bundles.timelines.severities import CRITICAL, MEDIUM, SEVERITIES
from bundles.timelines.span import MARKS
from incidents.timeline.filters import Filter, moment_at, phase_words
from incidents.timeline.record_query import Axis, Cluster, Gathered, Lane, bucket_range, severity_rows

LEFT, RIGHT, TOP, LANE_HEIGHT = 168, 1004, 44, 46
BUCKET_WIDTH = (RIGHT - LEFT) / MARKS
BAR_WIDTH = BUCKET_WIDTH - 4
SMALLEST, LARGEST, THINNEST = 5, 32, 3
TICKS = 5
EDGE_HEIGHT = 26
KINDS = {EVENT: "event", ALERT: "alert", ARTIFACT: "artifact"}
LANE_NAMES = {ALERT: "all alerts", ARTIFACT: "artifacts"}


@dataclass(frozen=True)
class Segment:
    """The part of a bar that stands for one severity."""

    severity: str
    y: str
    height: str


@dataclass(frozen=True)
class Bar:
    """The records of one lane in one bucket: a link with a description, its parts from the bottom up.

    Attributes:
        x: left edge.
        hit_x: left edge of the area that can be clicked; it is as wide as a bucket and as high as a lane.
        diamond: the points of the diamond on top; empty without a critical record.
    """

    href: str
    label: str
    x: str
    hit_x: str
    hit_y: int
    segments: list[Segment]
    diamond: str


@dataclass(frozen=True)
class LaneShape:
    """One lane: its base line, its name and count, the address that shows it alone, its bars."""

    y: int
    text_y: int
    name: str
    words: str
    href: str
    bars: list[Bar]


@dataclass(frozen=True)
class Tick:
    """A time below the lanes."""

    x: str
    anchor: str
    text: str


@dataclass(frozen=True)
class Edge:
    """What lies beside the axis, written at its end; the link shows those records alone."""

    x: int
    anchor: str
    text: str
    href: str


@dataclass(frozen=True)
class Drawing:
    """The whole picture, `width` by `height` in its own units; `bar` and `bucket` are widths.

    The buckets from `left` to `right` begin at `grid_us` and are `width_us` long; the axis is from `start_us` to
    `end_us`. `zoom` is the address to which `from` and `to` are added.
    """

    width: int
    height: int
    left: int
    right: int
    axis_y: int
    label: str
    lanes: list[LaneShape]
    ticks: list[Tick]
    edges: list[Edge]
    edges_y: int
    start_us: int
    end_us: int
    grid_us: int
    width_us: int
    zoom: str
    bar: str = f"{BAR_WIDTH:.1f}"
    bucket: str = f"{BUCKET_WIDTH:.1f}"
    lane_height: int = LANE_HEIGHT
    marks: int = MARKS


def draw(gathered: Gathered, wanted: Filter, origin: str, kind: str) -> Drawing:
    """Lay out what was gathered; links keep the filter, the origin and the kind that is listed."""
    axis = gathered.axis
    most = max((cluster.records for lane in gathered.lanes for cluster in lane.clusters), default=1)
    edges = list(_edges(gathered, wanted, origin, kind))
    lanes = []
    for place, lane in enumerate(gathered.lanes):
        y = TOP + place * LANE_HEIGHT
        bars = [
            _bar(lane, cluster, y, most, _address(lane, cluster, axis, wanted, origin)) for cluster in lane.clusters
        ]
        lanes.append(
            LaneShape(y, y - 12, lane_words(lane), _count_words(lane), _lane_address(lane, wanted, origin), bars)
        )
    height = TOP + len(lanes) * LANE_HEIGHT - LANE_HEIGHT + 18
    drawn = gathered.records - gathered.undated - gathered.beside
    label = f"Kill chain, {drawn:,} records in {len(lanes)} lanes, {_day(axis.start_us)} to {_day(axis.end_us)}"
    edges_y = height + (EDGE_HEIGHT if edges else 0)
    zoom = wanted.query(origin, kind, since_us=None, until_us=None)
    return Drawing(
        RIGHT + 16, edges_y + 10, LEFT, RIGHT, height, label, lanes, list(_ticks(axis)), edges, edges_y, axis.start_us,
        axis.end_us, axis.grid_us, axis.width_us, zoom,
    )  # fmt: skip


def lane_words(lane: Lane) -> str:
    """The name of a lane."""
    return phase_words(lane.phase) if lane.kind == EVENT else LANE_NAMES[lane.kind]


def records_words(lane: Lane | Cluster, kind: str = "") -> str:
    """How many records, with their kind."""
    name = KINDS[lane.kind if isinstance(lane, Lane) else kind]
    return f"{lane.records:,} {name}{'' if lane.records == 1 else 's'}"


def _count_words(lane: Lane) -> str:
    """The same, and that the drawing has none of them if none has a time."""
    return records_words(lane) + ("" if lane.dated else ", no times")


def sentence(lane: Lane, cluster: Cluster) -> str:
    """What a bar stands for, in words."""
    when = _minute(moment_at(cluster.first_us))
    if (until := _minute(moment_at(cluster.last_us))) != when:
        when = f"{when} to {until}"
    rated = ", ".join(f"{count:,} {name}" for name, count in severity_rows(cluster.severities))
    phase = f"{phase_words(lane.phase)}, " if lane.kind == EVENT else ""
    return f"{records_words(cluster, lane.kind)}, {phase}{when} UTC" + (f": {rated}" if lane.kind != ARTIFACT else "")


def shape_of(severity: int) -> str:
    """The shape that stands for a severity in lists."""
    return SEVERITIES[severity] if severity >= MEDIUM else "low"


def legend() -> tuple[str, ...]:
    """The severities as the bars show them, the worst first."""
    return tuple(reversed(SEVERITIES))


def _bar(lane: Lane, cluster: Cluster, y: int, most: int, href: str) -> Bar:
    """A cluster as a bar; its height grows with the square root of its number, so that a single record is visible."""
    height = SMALLEST + (LARGEST - SMALLEST) * math.sqrt((cluster.records - 1) / max(1, most - 1))
    left = LEFT + cluster.bucket * BUCKET_WIDTH
    segments, top = _segments(cluster, y, height)
    diamond = ""
    if cluster.worst == CRITICAL:
        middle = left + BUCKET_WIDTH / 2
        diamond = f"M{middle:.1f} {top - 9:.1f}l4 4l-4 4l-4 -4z"
    label = sentence(lane, cluster)
    return Bar(href, label, f"{left + 2:.1f}", f"{left:.1f}", y - LANE_HEIGHT + 4, segments, diamond)


def _segments(cluster: Cluster, y: int, height: float) -> tuple[list[Segment], float]:
    """The parts of a bar, the worst at the bottom, each at least `THINNEST` high; and where its top is."""
    heights = {
        severity: max(THINNEST, height * records / cluster.records) for severity, records in cluster.severities.items()
    }
    segments = []
    bottom = float(y)
    for severity in sorted(heights, reverse=True):
        bottom -= heights[severity]
        segments.append(Segment(SEVERITIES[severity], f"{bottom:.1f}", f"{heights[severity]:.1f}"))
    return segments, bottom


def _address(lane: Lane, cluster: Cluster, axis: Axis, wanted: Filter, origin: str) -> str:
    """The filter of a bar's records: its bucket's time, or their own times where that would show the same again."""
    start, end = bucket_range(axis, cluster.bucket)
    if (start, end) == (wanted.since_us, wanted.until_us) or end - start < MARKS:
        start, end = cluster.first_us, cluster.last_us
    target = "records" if cluster.first_us == cluster.last_us else "kill-chain"
    phase = {"phase": lane.phase} if lane.kind == EVENT else {}
    return wanted.query(origin, lane.kind, since_us=start, until_us=end, **phase) + f"#{target}"


def _lane_address(lane: Lane, wanted: Filter, origin: str) -> str:
    phase = {"phase": lane.phase} if lane.kind == EVENT else {}
    return wanted.query(origin, lane.kind, **phase) + "#kill-chain"


def _edges(gathered: Gathered, wanted: Filter, origin: str, kind: str) -> Iterator[Edge]:
    for clusters, is_earlier in ((gathered.earlier, True), (gathered.later, False)):
        if not clusters:
            continue
        first, last = min(one.first_us for one in clusters), max(one.last_us for one in clusters)
        records = sum(one.records for one in clusters)
        days = _day(first) if _day(first) == _day(last) else f"{_day(first)} to {_day(last)}"
        text = f"{records:,} record{'' if records == 1 else 's'} {'earlier' if is_earlier else 'later'}, {days}"
        href = wanted.query(origin, kind, since_us=first, until_us=last) + "#kill-chain"
        yield Edge(LEFT, "start", f"← {text}", href) if is_earlier else Edge(RIGHT, "end", f"{text} →", href)


def _ticks(axis: Axis) -> Iterator[Tick]:
    span = axis.end_us - axis.start_us
    if span <= 0:
        yield Tick(f"{LEFT + BUCKET_WIDTH / 2:.0f}", "middle", _exact(moment_at(axis.start_us), "moment"))
        return
    least = {"day": 4 * 86_400e6, "minute": 60e6, "second": 1e6, "microsecond": 0}  # between two ticks
    unit = next(name for name, step in least.items() if span > step * TICKS)
    for number in range(TICKS):
        at = moment_at(axis.start_us + span * number // (TICKS - 1))
        x = LEFT + BUCKET_WIDTH * (axis.start_us + span * number / (TICKS - 1) - axis.grid_us) / axis.width_us
        anchor = "start" if number == 0 else "end" if number == TICKS - 1 else "middle"
        yield Tick(f"{x:.0f}", anchor, _exact(at, unit))


def _exact(at: datetime, unit: str) -> str:
    """ISO form, short enough for five side by side; a single moment is written in full."""
    day = at.date().isoformat()
    forms = {"day": day, "minute": f"{day} {at:%H:%M}", "second": f"{at:%H:%M:%S}", "microsecond": f"{at:%H:%M:%S.%f}"}
    return forms.get(unit, f"{day} {at:%H:%M:%S.%f}")


def _day(at_us: int) -> str:
    return _exact(moment_at(at_us), "day")


def _minute(at: datetime) -> str:
    return _exact(at, "minute")
