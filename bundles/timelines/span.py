"""The span of an incident's drawing, without a few distant records that would compress the rest.

One event dated 1601 or 9999 would compress all others into a single bucket. If at least three quarters of the records
form a group, each less than a year from the next, and all would fall into one bucket, the span is that of the group.
Otherwise it is the whole time.
"""

from __future__ import annotations

from django.db import connection

MARKS = 34  # buckets side by side: each wide enough for a finger
YEAR_US = 365 * 86_400 * 10**6

_LARGEST_GROUP = """
SELECT count(*) AS events, min(at_us), max(at_us)
FROM (
    SELECT at_us, count(*) FILTER (WHERE is_far) OVER (ORDER BY at_us, kind, position) AS group_number
    FROM (
        SELECT at_us, kind, position, at_us - lag(at_us) OVER (ORDER BY at_us, kind, position) > %(year)s AS is_far
        FROM orchestrator_indexed_records
        WHERE timeline_id = %(timeline)s AND at_us BETWEEN %(first)s AND %(last)s
    ) AS with_distance
) AS grouped
GROUP BY group_number ORDER BY events DESC LIMIT 1
"""


def main_stretch(timeline_id: int, dated: int, first_us: int, last_us: int) -> tuple[int, int]:
    """The first and last microsecond of the span.

    Args:
        timeline_id: the timeline.
        dated: number of its events with a time.
        first_us: the earliest of these times.
        last_us: the latest.
    """
    if last_us - first_us > YEAR_US:
        with connection.cursor() as cursor:
            values = {"timeline": timeline_id, "first": first_us, "last": last_us, "year": YEAR_US}
            cursor.execute(_LARGEST_GROUP, values)
            events, start, end = cursor.fetchone()
        if events * 4 >= dated * 3 and (end - start) * MARKS < last_us - first_us:
            return start, end
    return first_us, last_us
