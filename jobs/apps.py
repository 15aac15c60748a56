"""The jobs app."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Registers the jobs app with Django."""

    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        """Register the queue's own sweeps."""
        from jobs import worker_registration, worker_restarts
        from jobs.queue import queue_depth, retention
        from jobs.worker import sweeps

        sweeps.register("jobs.retention", retention.sweep)
        sweeps.register("jobs.depth", queue_depth.sample)
        sweeps.register("jobs.departed", worker_registration.forget_departed)
        sweeps.register("jobs.restarts", worker_restarts.forget)
