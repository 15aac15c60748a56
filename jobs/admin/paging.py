"""Bounded paging: the admin's lists count and show at most ten thousand rows, and say so.

Django pages by OFFSET, which reads every row that it skips. Older rows are found by filter and search, which have
indexes, or in the console and the API, which page by key.
"""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db import connection
from django.db.models import QuerySet
from django.utils.functional import cached_property

from jobs.models import Status

COUNT_UP_TO = 10_000

# Reads at most COUNT_UP_TO entries of the index jobs_by_status for each state. The order keeps the planner on that
# index: otherwise it reads the whole table for a state without jobs, which it cannot estimate.
COUNTS_SQL = """
SELECT state.name, (
    SELECT count(*) FROM (
        SELECT FROM orchestrator_jobs WHERE status IN (state.name) ORDER BY created_at DESC LIMIT %s) AS counted)
FROM unnest(%s::text[]) AS state (name)
"""


class BoundedPaginator(Paginator):  # type: ignore[type-arg] # generic in the stubs only
    """Django's paginator with a bounded count; `most` is the bound."""

    most = COUNT_UP_TO

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through: all, and at most ten thousand."""
        rows = self.object_list
        return rows.order_by()[: self.most].count() if isinstance(rows, QuerySet) else len(rows)


def state_counts() -> dict[str, str]:
    """How many jobs are in each state, as text: exact below ten thousand, else `10,000+`."""
    with connection.cursor() as cursor:
        cursor.execute(COUNTS_SQL, [COUNT_UP_TO, list(Status.values)])
        found: dict[str, int] = dict(cursor.fetchall())
    return {state: f"{number:,}" + ("+" if number >= COUNT_UP_TO else "") for state, number in found.items()}
