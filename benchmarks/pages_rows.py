"""What a deployment holds after years, made by set-based SQL: jobs, bundles, verifications, alerts, events, custody.

Every check constraint and index holds as for any other row; the triggers of this session are off. One incident is far
larger than the rest, one manifest lists many files: pages are measured on those.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

SQL = Path(__file__).with_suffix(".sql")
INCIDENTS, RESTORED, LARGEST = 5_000, 200, "incident-0"


@dataclass(frozen=True)
class Counts:
    """How many rows of each kind."""

    jobs: int = 100_000
    bundles: int = 10_000
    alerts: int = 1_000_000
    events: int = 200_000
    records: int = 1_000_000
    files: int = 20_000
    bundled: int = 1_000_000
    custody: int = 300_000

    def scaled(self, share: float) -> Counts:
        """The same in small; every kind keeps enough to fill its page."""
        return Counts(**{name: max(500, round(count * share)) for name, count in vars(self).items()})


def make(connection: Any, counts: Counts) -> None:
    """Fill empty tables.

    Args:
        connection: psycopg2, committing by itself; its session is made to skip triggers.
        counts: how many rows of each kind.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(SQL.read_text(encoding="utf-8"), {**vars(counts), "incidents": INCIDENTS, "restored": RESTORED})
