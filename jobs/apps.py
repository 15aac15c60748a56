"""The jobs app."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Registers the jobs app with Django."""

    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        """Make the queue's own sweeps known."""
        from jobs import depth, presence, restarts, retention, sweeps

        sweeps.register("jobs.retention", retention.sweep)
        sweeps.register("jobs.depth", depth.sample)
        sweeps.register("jobs.departed", presence.forget_departed)
        sweeps.register("jobs.restarts", restarts.forget)
