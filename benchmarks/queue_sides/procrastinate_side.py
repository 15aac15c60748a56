"""procrastinate: async tasks, psycopg 3 with its connection pool, LISTEN on (its default and what its docs advise)."""

from __future__ import annotations

import asyncio
import os
import sys

import procrastinate

from benchmarks.queue_sides import asking, result_table, trace

CONCURRENCY = 1  # its default; one trial round each with 4 and 10 was slower
BATCH = 1000
INSERT = result_table.INSERT_ONCE.format("%(job_id)s")


async def noop(context: procrastinate.JobContext) -> None:
    """Start, insert the row on a connection of its pool, and be done."""
    trace.started()
    await app.connector.execute_query_async(INSERT, job_id=str(context.job.id))


app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=f"host={os.environ['DB_HOST']} dbname={os.environ['DB_NAME']} user={os.environ['DB_USER']}"
    )
)
task = app.task(name="noop", pass_context=True)(noop)


async def main(what: str, number: int) -> None:
    """Do one thing; `number` counts jobs."""
    async with app.open_async():
        if what == "install":
            await app.schema_manager.apply_schema_async()
            await app.connector.execute_query_async(result_table.CREATE)
        elif what == "fill":
            for first in range(0, number, BATCH):
                await task.batch_defer_async(*[{}] * min(BATCH, number - first))
        elif what == "work":
            await app.run_worker_async(concurrency=CONCURRENCY)
        elif what == "ask":
            await asking.ask_async(task.defer_async, number)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
