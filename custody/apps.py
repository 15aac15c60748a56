"""The custody app."""

from django.apps import AppConfig


class CustodyConfig(AppConfig):
    """Registers the custody app with Django."""

    name = "custody"
    verbose_name = "Custody"
