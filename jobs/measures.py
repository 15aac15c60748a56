"""Histograms that only grow, kept in the database: they cover all processes and hosts, and survive restarts.

A value is counted in the transaction of the event that it measures, so it counts exactly if that commits. Purging old
jobs or bundles changes nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from django.db import connection, models

OBSERVE_SQL = """
INSERT INTO orchestrator_measures AS measure (name, le, count, total)
VALUES (%s, %s, 1, %s)
ON CONFLICT (name, le) DO UPDATE SET count = measure.count + 1, total = measure.total + excluded.total
"""


class HistogramBucket(models.Model):
    """How many values fell between the bucket below and `le`, and their sum."""

    name = models.TextField(help_text="the metric's name")
    le = models.FloatField(help_text="upper bound, inclusive; infinity for the last bucket")
    count = models.BigIntegerField(default=0)
    total = models.FloatField(default=0)

    class Meta:
        """One row for each bucket that ever held a value; shown only as metrics."""

        app_label = "jobs"
        db_table = "orchestrator_measures"
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["name", "le"], name="measure_once"),)

    def __str__(self) -> str:
        """The bucket in one line."""
        return f"{self.name} <= {self.le}: {self.count}"


def observe(name: str, value: float, buckets: Sequence[float]) -> None:
    """Count one value in the current transaction.

    Args:
        name: the metric's name, such as `orch_bundle_size_bytes`.
        value: what was measured, in the metric's unit; at least 0.
        buckets: the metric's upper bounds, ascending, without infinity.

    Raises:
        ValueError: the value is negative, infinite or not a number.
    """
    if not value >= 0 or math.isinf(value):
        raise ValueError(f"{name} cannot be {value}")
    bound = next((bound for bound in buckets if value <= bound), math.inf)
    with connection.cursor() as cursor:
        cursor.execute(OBSERVE_SQL, [name, bound, value])
