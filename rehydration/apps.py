"""The rehydration app."""

from django.apps import AppConfig


class RehydrationConfig(AppConfig):
    """Registers the rehydration app with Django."""

    name = "rehydration"
    verbose_name = "Rehydration"
