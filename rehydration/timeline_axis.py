"""The stretch of time that a drawing covers: what was asked for, without the few events that lie far from the others.

One event dated 1601 or 9999 would press all others into a single mark. Where at least three quarters of the events lie
together, each less than a year from the next, and would all fall into one mark, the axis covers those alone. The others
are counted and named at its edges.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from bundles.models import KeptTimeline
from rehydration.timeline_filter import Filter

BUCKETS = 34
YEAR_US = 365 * 86_400 * 10**6

_LARGEST_GROUP = """
SELECT count(*) AS events, sum(count(*)) OVER () AS of_all, min(at_us), max(at_us)
FROM (
    SELECT at_us, count(*) FILTER (WHERE is_far) OVER (ORDER BY at_us, position) AS group_number
    FROM (
        SELECT at_us, position, at_us - lag(at_us) OVER (ORDER BY at_us, position) > %(year)s AS is_far
        FROM orchestrator_timeline_points
        WHERE timeline_id = %(timeline)s AND at_us BETWEEN %(first)s AND %(last)s
    ) AS with_distance
) AS grouped
GROUP BY group_number ORDER BY events DESC LIMIT 1
"""


@dataclass(frozen=True)
class Axis:
    """Microseconds since 1970, all included.

    Attributes:
        first_us: where the asked time begins, no earlier than the timeline.
        start_us: where the drawing begins.
        end_us: where the drawing ends; before its start when nothing was asked for that is there.
        last_us: where the asked time ends, no later than the timeline.
    """

    first_us: int
    start_us: int
    end_us: int
    last_us: int

    @property
    def width_us(self) -> int:
        """How much time a mark covers."""
        return max(1, -(-(self.end_us - self.start_us + 1) // BUCKETS))


def axis_of(kept: KeptTimeline, wanted: Filter) -> Axis:
    """The axis of a timeline; where both ends were asked for, exactly that, however far apart its events lie."""
    first, last = kept.first_us or 0, kept.last_us or 0
    first = first if wanted.since_us is None else max(first, wanted.since_us)
    last = last if wanted.until_us is None else min(last, wanted.until_us)
    both_asked = wanted.since_us is not None and wanted.until_us is not None
    if both_asked or last - first <= YEAR_US:
        return Axis(first, first, last, last)
    values = {"timeline": kept.pk, "first": first, "last": last, "year": YEAR_US}
    with connection.cursor() as cursor:
        cursor.execute(_LARGEST_GROUP, values)
        found = cursor.fetchone()
    if found is None:
        return Axis(first, first, last, last)
    events, of_all, start, end = found
    is_crowded = events * 4 >= of_all * 3 and (end - start) * BUCKETS < last - first
    return Axis(first, start, end, last) if is_crowded else Axis(first, first, last, last)
