"""procrastinate: async tasks, psycopg 3 with its connection pool, LISTEN on (its default and what its docs advise)."""

from __future__ import annotations

import asyncio
import os
import sys

import procrastinate

from benchmarks.queue_sides import asking, trace

CONCURRENCY = 1  # its default; one trial round each with 4 and 10 was slower
BATCH = 1000


async def noop() -> None:
    """Start and be done."""
    trace.started()


app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=f"host={os.environ['DB_HOST']} dbname={os.environ['DB_NAME']} user={os.environ['DB_USER']}"
    )
)
task = app.task(name="noop")(noop)


async def main(what: str, number: int) -> None:
    """Do one thing; `number` counts jobs."""
    async with app.open_async():
        if what == "install":
            await app.schema_manager.apply_schema_async()
        elif what == "fill":
            for first in range(0, number, BATCH):
                await task.batch_defer_async(*[{}] * min(BATCH, number - first))
        elif what == "work":
            await app.run_worker_async(concurrency=CONCURRENCY)
        elif what == "ask":
            await asking.ask_async(task.defer_async, number)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
