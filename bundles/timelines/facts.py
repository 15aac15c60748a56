"""What an incident's records say together: computed once, when they are indexed.

The page of an incident shows these facts at the top and draws its histogram from the counts, so that its cost does not
grow with the number of records.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from bundles.models import KeptTimeline
from bundles.timelines.severities import CRITICAL, SEVERITIES
from bundles.timelines.times import UNDATED

INTERVALS = 2048
NO_TIME, EARLIER, LATER = -1, -2, -3  # buckets of what is outside the intervals
MOST_NAMED = 10
MOST_TECHNIQUES = 400
IMPACT_PHASES = ("impact", "actions-on-objectives")

_COUNTS = """
INSERT INTO orchestrator_record_counts (timeline_id, bucket, kind, phase, severity, records, first_us, last_us)
SELECT timeline_id,
    CASE WHEN at_us = %(undated)s THEN %(no_time)s WHEN at_us < %(start)s THEN %(earlier)s
        WHEN at_us > %(end)s THEN %(later)s ELSE (at_us - %(start)s) / %(width)s END AS bucket,
    kind, phase, severity, count(*), min(at_us), max(at_us)
FROM orchestrator_indexed_records WHERE timeline_id = %(timeline)s
GROUP BY timeline_id, bucket, kind, phase, severity
"""
_NAMES = """
SELECT name, count(*) AS records, count(*) OVER () AS names
FROM orchestrator_indexed_records CROSS JOIN LATERAL unnest({column}) AS name
WHERE timeline_id = %(timeline)s GROUP BY name ORDER BY records DESC, name LIMIT %(most)s
"""
_SEVERITIES = """
SELECT kind, severity, sum(records) FROM orchestrator_record_counts WHERE timeline_id = %(timeline)s
GROUP BY kind, severity ORDER BY kind, severity DESC
"""
_TECHNIQUES = """
SELECT phase, split_part(technique, ' ', 1) AS id, max(substr(technique, strpos(technique || ' ', ' ') + 1)),
    count(*) AS records, max(severity)
FROM orchestrator_indexed_records WHERE timeline_id = %(timeline)s AND technique <> ''
GROUP BY phase, id ORDER BY records DESC, phase, id LIMIT %(most)s
"""
_ONE = """
SELECT kind, position, at_us, phase, severity, what FROM orchestrator_indexed_records
WHERE timeline_id = %(timeline)s AND at_us < %(undated)s AND kind <> 'artifact' {condition}
ORDER BY at_us {direction}, kind DESC, position {direction} LIMIT 1
"""
_WORST_FIRST = "AND severity = %(critical)s"
_IMPACT = "AND phase = ANY(%(impact)s)"


def width_us(start_us: int, end_us: int) -> int:
    """How much time an interval covers, in microseconds."""
    return max(1, -(-(end_us - start_us + 1) // INTERVALS))


def keep(timeline_id: int) -> None:
    """Compute the counts and facts of freshly indexed records, which are still hidden.

    The facts are:

    - `severities`: kind → severity → number of records.
    - `hosts`, `accounts`: `names`, how many there are, and `top`, the ten most frequent with their number of records.
    - `techniques`: phase, id, name, number of records and worst severity of each; `techniques_cut` if there are more.
    - `first`, `last`, `first_critical`, `impact`: the dated event or alert, as kind, position, at_us, phase, severity
      and what; None if there is none.
    """
    kept = KeptTimeline.objects.get(pk=timeline_id)
    start, end = kept.main_first_us or 0, kept.main_last_us or 0
    values: dict[str, Any] = {
        "timeline": timeline_id, "undated": UNDATED, "start": start, "end": end, "width": width_us(start, end),
        "no_time": NO_TIME, "earlier": EARLIER, "later": LATER, "critical": CRITICAL, "impact": list(IMPACT_PHASES),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, values)
        kept.facts = {
            "hosts": _names(cursor, "hosts", values),
            "accounts": _names(cursor, "accounts", values),
            "severities": _severities(cursor, values),
            **_techniques(cursor, values),
            "first": _one(cursor, values),
            "last": _one(cursor, values, direction="DESC"),
            "first_critical": _one(cursor, values, condition=_WORST_FIRST),
            "impact": _one(cursor, values, condition=_IMPACT),
        }
    kept.save(update_fields=["facts"])


def _names(cursor: Any, column: str, values: dict[str, Any]) -> dict[str, Any]:
    cursor.execute(_NAMES.format(column=column), {**values, "most": MOST_NAMED})
    rows = cursor.fetchall()
    return {"names": rows[0][2] if rows else 0, "top": [[name, records] for name, records, _ in rows]}


def _severities(cursor: Any, values: dict[str, Any]) -> dict[str, dict[str, int]]:
    cursor.execute(_SEVERITIES, values)
    found: dict[str, dict[str, int]] = {}
    for kind, severity, records in cursor.fetchall():
        found.setdefault(kind, {})[SEVERITIES[severity]] = int(records)
    return found


def _techniques(cursor: Any, values: dict[str, Any]) -> dict[str, Any]:
    cursor.execute(_TECHNIQUES, {**values, "most": MOST_TECHNIQUES + 1})
    rows = [list(row) for row in cursor.fetchall()]
    return {"techniques": rows[:MOST_TECHNIQUES], "techniques_cut": len(rows) > MOST_TECHNIQUES}


def _one(cursor: Any, values: dict[str, Any], *, condition: str = "", direction: str = "") -> dict[str, Any] | None:
    cursor.execute(_ONE.format(condition=condition, direction=direction), values)
    row = cursor.fetchone()
    return dict(zip(("kind", "position", "at_us", "phase", "severity", "what"), row, strict=True)) if row else None
