"""The incidents app."""

from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    """Registers the incidents app with Django."""

    name = "incidents"
    verbose_name = "Incidents"
