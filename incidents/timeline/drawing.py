"""The kill chain as shapes on a plane: numbers in, coordinates and sentences out; the template writes the SVG.

One lane a phase, time from left to right. A mark's shape is the worst severity of its events and its area their number;
no mark relies on colour alone, and each is a link with a description.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from bundles.timelines.reading import MEDIUM, SEVERITIES
from bundles.timelines.span import MARKS
from incidents.timeline.event_query import Axis, Cluster, Gathered, bucket_range, severity_rows
from incidents.timeline.filters import NO_PHASE, Filter, iso_of, moment_at, phase_words

LEFT, RIGHT, TOP, LANE_HEIGHT = 168, 1004, 24, 36
BUCKET_WIDTH = (RIGHT - LEFT) / MARKS
SMALLEST, LARGEST = 4.6, 12.5
TICKS = 5
EDGE_HEIGHT = 26
SHAPES = {
    "critical": '<path class="mark critical" d="M{x} {top}l{d} {d}l-{d} {d}l-{d} -{d}z"/>',
    "high": '<rect class="mark" x="{left}" y="{up}" width="{w}" height="{w}" rx="1.5"/>',
    "medium": '<circle class="mark" cx="{x}" cy="{y}" r="{r}"/>',
    "low": '<circle class="mark hollow" cx="{x}" cy="{y}" r="{r}"/>',
}


MARK = (
    '<a href="{href}" aria-label="{label}"><title>{label}</title>'
    '<rect class="hit" x="{hit_x}" y="{hit_y}" width="24" height="24"/>{shape}</a>'
)


@dataclass(frozen=True)
class LaneShape:
    """One lane: its line, its name and count, the address that shows it alone, its marks."""

    y: int
    text_y: int
    name: str
    events: int
    href: str
    marks: list[SafeString]


@dataclass(frozen=True)
class Tick:
    """A time below the lanes."""

    x: str
    anchor: str
    text: str


@dataclass(frozen=True)
class Edge:
    """What lies beside the axis, said at its end; the link shows those events alone."""

    x: int
    anchor: str
    text: str
    href: str


@dataclass(frozen=True)
class Drawing:
    """The whole picture, `width` by `height` in its own units."""

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


def draw(gathered: Gathered, wanted: Filter, origin: str) -> Drawing:
    """Lay out what was gathered; links keep the filter and the origin of the events."""
    most = max((cluster.events for lane in gathered.lanes for cluster in lane.clusters), default=1)
    links = _Links(gathered, wanted, wanted.query(origin, phase=None, since_us=None, until_us=None))
    edges = list(_edges(gathered, wanted, origin))
    lanes = []
    for place, lane in enumerate(gathered.lanes):
        y = TOP + place * LANE_HEIGHT
        marks = [_mark(cluster, y, most, links.to(cluster)) for cluster in lane.clusters]
        href = wanted.query(origin, phase=lane.phase) + "#kill-chain"
        lanes.append(LaneShape(y, y + 4, phase_words(lane.phase), lane.events, href, marks))
    height = TOP + len(lanes) * LANE_HEIGHT
    axis, drawn = gathered.axis, gathered.events - gathered.undated - gathered.beside
    label = f"Kill chain, {drawn:,} events in {len(lanes)} phases, {_day(axis.start_us)} to {_day(axis.end_us)}"
    edges_y = height + (EDGE_HEIGHT if edges else 0)
    ticks = list(_ticks(axis))
    return Drawing(RIGHT + 16, edges_y + 10, LEFT, RIGHT, height, label, lanes, ticks, edges, edges_y)


def sentence(cluster: Cluster) -> str:
    """What a cluster stands for, in words."""
    events = f"{cluster.events:,} event{'' if cluster.events == 1 else 's'}"
    when = _minute(moment_at(cluster.first_us))
    if (until := _minute(moment_at(cluster.last_us))) != when:
        when = f"{when} to {until}"
    rated = ", ".join(f"{count:,} {name}" for name, count in severity_rows(cluster.severities))
    kind = marked(cluster.kind.replace("_", " "))
    return f"{events}, {phase_words(cluster.phase)}, {when} UTC: {rated}" + (f"; mostly {kind}" if kind else "")


def marked(text: str) -> str:
    """Text for a place that holds no markup, each character that hides or reorders others shown as its number."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else f"⟨U+{ord(one):04X}⟩" for one in text)


def _mark(cluster: Cluster, y: int, most: int, href: str) -> SafeString:
    """A cluster as a link: its shape, and around it a target that is large enough for a finger."""
    x = LEFT + (cluster.bucket + 0.5) * BUCKET_WIDTH
    radius = SMALLEST + (LARGEST - SMALLEST) * math.sqrt((cluster.events - 1) / max(1, most - 1))
    shape = format_html(SHAPES[shape_of(cluster.worst)], **_measures(x, y, radius))
    return format_html(MARK, href=href, label=sentence(cluster), hit_x=f"{x - 12:.1f}", hit_y=y - 12, shape=shape)


def _measures(x: float, y: int, radius: float) -> dict[str, str]:
    """Every number that a shape may need."""
    square, diamond = radius * 0.9, radius * 1.2
    numbers = {"x": x, "y": y, "r": radius, "d": diamond, "top": y - diamond, "w": 2 * square}
    numbers |= {"left": x - square, "up": y - square}
    return {name: f"{number:.1f}" for name, number in numbers.items()}


@dataclass(frozen=True)
class _Links:
    """Where marks lead: the filter and origin stay, phase and time become the cluster's."""

    gathered: Gathered
    wanted: Filter
    stays: str

    def to(self, cluster: Cluster) -> str:
        """Zoom to the cluster's stretch of the axis; to its own events' times where that would show the same again."""
        start, end = bucket_range(self.gathered, cluster.bucket)
        if (start, end) == (self.wanted.since_us, self.wanted.until_us) or end - start < MARKS:
            start, end = cluster.first_us, cluster.last_us
        target = "events" if cluster.first_us == cluster.last_us else "kill-chain"
        joint = "&" if self.stays != "?" else ""
        phase = cluster.phase or NO_PHASE
        return f"{self.stays}{joint}phase={phase}&since={iso_of(start)}&until={iso_of(end)}#{target}"


def _edges(gathered: Gathered, wanted: Filter, origin: str) -> Iterator[Edge]:
    for clusters, is_earlier in ((gathered.earlier, True), (gathered.later, False)):
        if not clusters:
            continue
        first, last = min(one.first_us for one in clusters), max(one.last_us for one in clusters)
        events = sum(one.events for one in clusters)
        days = _day(first) if _day(first) == _day(last) else f"{_day(first)} to {_day(last)}"
        text = f"{events:,} event{'' if events == 1 else 's'} {'earlier' if is_earlier else 'later'}, {days}"
        href = wanted.query(origin, since_us=first, until_us=last) + "#kill-chain"
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
        x = LEFT + (RIGHT - LEFT) * number / (TICKS - 1)
        anchor = "start" if number == 0 else "end" if number == TICKS - 1 else "middle"
        yield Tick(f"{x:.0f}", anchor, _exact(at, unit))


def _exact(at: datetime, unit: str) -> str:
    """Short enough for five side by side; a single moment is written in full."""
    day = f"{at.day} {at:%b} {at.year:04}"
    forms = {
        "day": day,
        "minute": f"{day} {at:%H:%M}",
        "second": f"{day} {at:%H:%M:%S}",
        "microsecond": f"{at:%H:%M:%S.%f}",
    }
    return forms.get(unit, f"{day} {at:%H:%M:%S.%f}")


def _day(at_us: int) -> str:
    return _exact(moment_at(at_us), "day")


def _minute(at: datetime) -> str:
    return _exact(at, "minute")


def shape_of(severity: int) -> str:
    """The shape that stands for a severity."""
    return SEVERITIES[severity] if severity >= MEDIUM else "low"


def legend() -> list[tuple[str, str]]:
    """Shape and words of the key."""
    return [("critical", "critical"), ("high", "high"), ("medium", "medium"), ("low", "low, info, unrated")]
