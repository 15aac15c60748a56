"""The last visit of each user, so that Home can list what has failed since: one row per user.

A visit ends half an hour after its last page. Home lists the failures since the previous visit until then.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from orchestrator_site.models import Visit

VISIT_ENDS_AFTER = timedelta(minutes=30)

# A row is written once a minute at most. When a visit has ended, its `seen_at` becomes `before_at`.
BEGIN_SQL = """
WITH written AS (
INSERT INTO orchestrator_visits AS known (user_id, seen_at, before_at) VALUES (%(user)s, now(), NULL)
ON CONFLICT (user_id) DO UPDATE SET seen_at = now(),
    before_at = CASE WHEN known.seen_at < now() - make_interval(secs => %(ends_after_s)s)
                     THEN known.seen_at ELSE known.before_at END
WHERE known.seen_at < now() - interval '1 minute'
RETURNING before_at)
SELECT before_at FROM written UNION ALL
SELECT before_at FROM orchestrator_visits WHERE user_id = %(user)s AND NOT EXISTS (SELECT FROM written)
"""


def begin(user_id: int) -> datetime | None:
    """Record a page view: it continues the visit or begins a new one.

    Returns:
        The end of the previous visit; None if this is the first.
    """
    with connection.cursor() as cursor:
        cursor.execute(BEGIN_SQL, {"user": user_id, "ends_after_s": VISIT_ENDS_AFTER.total_seconds()})
        row = cursor.fetchone()
    return row[0] if row else None


def last_visit(user_id: int) -> datetime | None:
    """The same for an automatic update of a page, which does not count as a visit."""
    return Visit.objects.filter(user_id=user_id).values_list("before_at", flat=True).first()
