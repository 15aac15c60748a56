"""pgqueuer: asyncpg on uvloop, one direct connection for the worker and `pgq autovac`, as its tuning guide says.

One job a claim is `batch_size=1`. Its durable tables (the default), as every other side is durable.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.queue_sides import asking, result_table, trace

BATCH_SIZE = 1
FILL_AT_ONCE = 1000
INSERT = result_table.INSERT_ONCE.format("$1")


async def _connect() -> asyncpg.Connection:
    return await asyncpg.connect(host=os.environ["DB_HOST"], database=os.environ["DB_NAME"], user=os.environ["DB_USER"])


async def main(what: str, number: int) -> None:
    """Do one thing; `number` counts jobs."""
    connection = await _connect()
    queries = Queries(AsyncpgDriver(connection))
    if what == "install":
        await queries.install()
        await queries.optimize_autovacuum()
        await connection.execute(result_table.CREATE)
    elif what == "fill":
        for first in range(0, number, FILL_AT_ONCE):
            some = min(FILL_AT_ONCE, number - first)
            await queries.enqueue(["noop"] * some, [None] * some, [0] * some)
    elif what == "work":
        await _work(PgQueuer(AsyncpgDriver(connection)))
    elif what == "ask":
        await asking.ask_async(lambda: queries.enqueue("noop", None), number)
    await connection.close()


async def _work(pgq: PgQueuer) -> None:
    # Connections of their own, so that a row waits neither for the queue's statements nor for another row.
    rows = await asyncpg.create_pool(
        host=os.environ["DB_HOST"], database=os.environ["DB_NAME"], user=os.environ["DB_USER"], min_size=2, max_size=4
    )

    @pgq.entrypoint("noop")
    async def noop(job: Job) -> None:
        trace.started()
        await rows.execute(INSERT, str(job.id))

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pgq.shutdown.set)
    await pgq.qm.run(batch_size=BATCH_SIZE, dequeue_timeout=timedelta(seconds=30))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
