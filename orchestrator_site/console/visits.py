"""When a person was last here, so that Home can say what has failed since: one row a user.

A visit ends half an hour after its last page. What failed since the visit before stays shown for the whole visit,
however often Home is loaded again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from orchestrator_site.models import Visit

VISIT_ENDS_AFTER = timedelta(minutes=30)

# Known visits are written once a minute at most. `seen_at` of a visit that has ended becomes what `before_at` tells.
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
    """The user has loaded a page: the visit goes on, or a new one begins.

    Returns:
        When the user was last here before this visit; None when this is the first.
    """
    with connection.cursor() as cursor:
        cursor.execute(BEGIN_SQL, {"user": user_id, "ends_after_s": VISIT_ENDS_AFTER.total_seconds()})
        row = cursor.fetchone()
    return row[0] if row else None


def last_visit(user_id: int) -> datetime | None:
    """As `begin`, for a part of a page that loads by itself: nobody need be there, so it counts as no visit."""
    return Visit.objects.filter(user_id=user_id).values_list("before_at", flat=True).first()
