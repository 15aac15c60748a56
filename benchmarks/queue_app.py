"""Registers the job type `noop`, whose handler writes one record to the trace and is done."""

from __future__ import annotations

from django.apps import AppConfig

from benchmarks.queue_sides import trace

NOOP = "noop"


class QueueBenchConfig(AppConfig):
    """Registers the type."""

    name = "benchmarks"

    def ready(self) -> None:
        """Tell the registry."""
        from jobs.queue import registry  # models exist from here on
        from jobs.queue.context import JobContext
        from jobs.queue.job_result import JobResult

        def noop(_: JobContext) -> JobResult:
            trace.started()
            return JobResult({})

        registry.register(registry.JobType(name=NOOP, title="No work", phases=("working",), handler=noop))
