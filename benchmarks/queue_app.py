"""Registers the job type `noop`: its handler writes one record to the trace and registers one row as its result."""

from __future__ import annotations

from django.apps import AppConfig
from django.db import connection

from benchmarks.queue_sides import result_table, trace

NOOP = "noop"


class QueueBenchConfig(AppConfig):
    """Registers the type."""

    name = "benchmarks"

    def ready(self) -> None:
        """Tell the registry."""
        from jobs.queue import registry  # models exist from here on
        from jobs.queue.context import JobContext
        from jobs.queue.job_result import JobResult

        def noop(context: JobContext) -> JobResult:
            trace.started()

            def register() -> None:
                with connection.cursor() as cursor:
                    cursor.execute(result_table.INSERT, [str(context.job_id)])

            return JobResult({}, register=register)

        registry.register(registry.JobType(name=NOOP, title="No work", phases=("working",), handler=noop))
