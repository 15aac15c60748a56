"""Registers the job types of `tests.support.jobs_app.handlers`."""

from django.apps import AppConfig


class TestJobsConfig(AppConfig):
    """Registers the types."""

    name = "tests.support.jobs_app"
    label = "tests_jobs_app"

    def ready(self) -> None:
        from jobs.queue import registry  # models exist from here on
        from tests.support.jobs_app import handlers

        for handler in (handlers.note, handlers.wait, handlers.ignore, handlers.hang, handlers.query):
            registry.register(
                registry.JobType(name=handler.__name__, title=handler.__name__, phases=("working",), handler=handler)
            )
