"""The number of queued jobs, now and over the last day: counted up to a limit, sampled by the sweeps every 5 minutes.

Neither costs more with a million jobs than with a thousand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.db import connection

from jobs import worker_restarts

BUCKET_S = 1800
BUCKETS = 48
EXACT_UP_TO = 20_000

# Reads only the partial index jobs_to_claim. The estimate is its number of entries at the last vacuum or analyze, which
# run after each change of one or two percent (migration 0002).
QUEUED_SQL = f"""
SELECT CASE WHEN counted > {EXACT_UP_TO} THEN GREATEST(counted, (
           SELECT reltuples::bigint FROM pg_class WHERE oid = 'jobs_to_claim'::regclass)) ELSE counted END
FROM (SELECT count(*) AS counted FROM (
    SELECT FROM orchestrator_jobs WHERE status IN ('queued') LIMIT {EXACT_UP_TO} + 1) AS queued) AS bounded
"""  # noqa: S608 # built from a constant

# Half hours are counted from the epoch, by the database's clock. Several hosts sample; the largest sample is kept.
SAMPLE_SQL = """
INSERT INTO orchestrator_queue_depth AS known (half_hour, queued)
VALUES (floor(extract(epoch FROM now()) / %(bucket_s)s), %(queued)s)
ON CONFLICT (half_hour) DO UPDATE SET queued = GREATEST(known.queued, excluded.queued)
"""
FORGET_SQL = """
DELETE FROM orchestrator_queue_depth
WHERE half_hour < floor(extract(epoch FROM now()) / %(bucket_s)s) - %(buckets)s
"""
LAST_DAY_SQL = """
SELECT floor(extract(epoch FROM now()) / %(bucket_s)s)::bigint - half_hour, queued FROM orchestrator_queue_depth
"""

COUNTS_SQL = f"SELECT ({QUEUED_SQL}), (SELECT count(*) FROM orchestrator_jobs WHERE status IN ('processing'))"  # noqa: S608 # built from constants
HOME_SQL = f"""
{COUNTS_SQL},
    (SELECT COALESCE(json_agg(json_build_array(ago, queued)), '[]') FROM ({LAST_DAY_SQL}) AS day (ago, queued)),
    ({worker_restarts.SUMS_SQL}), ({worker_restarts.LATELY_COUNT_SQL})
"""  # noqa: S608 # built from constants


class _Cursor(Protocol):
    def execute(self, sql: str) -> Any: ...

    def fetchone(self) -> Any: ...


def queued(cursor: _Cursor) -> int:
    """How many jobs are queued: exact up to `EXACT_UP_TO`; above that an estimate, never below the limit.

    Args:
        cursor: of any connection to the database.
    """
    cursor.execute(QUEUED_SQL)
    return int(cursor.fetchone()[0])


def sample() -> int:
    """Store the number of queued jobs; returns how many samples older than a day were removed."""
    with connection.cursor() as cursor:
        cursor.execute(SAMPLE_SQL, {"bucket_s": BUCKET_S, "queued": queued(cursor)})
        cursor.execute(FORGET_SQL, {"bucket_s": BUCKET_S, "buckets": BUCKETS})
        return int(cursor.rowcount)


def queued_over_a_day(queued_now: int) -> list[int | None]:
    """The number of queued jobs for each half hour of the last day, oldest first, ending with `queued_now`.

    A half hour without a sample has the value before it; before the first sample it is None.
    """
    with connection.cursor() as cursor:
        cursor.execute(LAST_DAY_SQL, {"bucket_s": BUCKET_S})
        seen = {int(ago): int(number) for ago, number in cursor.fetchall()}
    return curve(seen, queued_now)


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers of the Home page, from one query.

    Attributes:
        queued: queued jobs.
        processing: processing jobs, stuck ones included.
        over_a_day: as from `queued_over_a_day`.
        restarts: worker processes replaced in the last day, by reason (`jobs.worker_restarts`).
        restarts_lately: worker processes replaced in the last half hour.
    """

    queued: int
    processing: int
    over_a_day: list[int | None]
    restarts: Mapping[str, int]
    restarts_lately: int


def now_and_over_a_day() -> Numbers:
    """Query the numbers of the Home page."""
    with connection.cursor() as cursor:
        cursor.execute(HOME_SQL, {"bucket_s": BUCKET_S})
        queued_now, processing, samples, restarted, lately = cursor.fetchone()
    over_a_day = curve({int(ago): int(number) for ago, number in samples}, int(queued_now))
    return Numbers(
        queued=int(queued_now),
        processing=int(processing),
        over_a_day=over_a_day,
        restarts=restarted,
        restarts_lately=int(lately),
    )


def curve(seen: dict[int, int], queued_now: int) -> list[int | None]:
    """The samples, given by how many half hours ago they were taken, in the form of `queued_over_a_day`."""
    depths: list[int | None] = []
    for ago in range(BUCKETS, 0, -1):
        depths.append(seen.get(ago, depths[-1] if depths else None))
    return [*depths, queued_now]


def in_words(number: int) -> str:
    """A number of queued jobs as text; an estimate is marked as one."""
    return f"about {number:,}" if number > EXACT_UP_TO else f"{number:,}"


def day_in_words(depths: Sequence[int | None]) -> str:
    """The curve of `queued_over_a_day` as a sentence, which also names hours without samples."""
    known = [number for number in depths if number is not None]
    now, most = in_words(known[-1]), in_words(max(known))
    missing = len(depths) - len(known)
    if len(known) == 1:
        return f"Queued now: {now}. Nothing was measured in the 24 hours before."
    if not missing:
        return f"Queued jobs over the last 24 hours: at most {most}, now {now}."
    hours = (len(known) - 1) * BUCKET_S / 3600
    return f"Queued jobs over the last {hours:g} h: at most {most}, now {now}. Nothing was measured before."
