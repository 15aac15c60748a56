"""The jobs app."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Registers the jobs app with Django."""

    name = "jobs"
    verbose_name = "Jobs"
