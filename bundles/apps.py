"""The bundles app."""

from django.apps import AppConfig


class BundlesConfig(AppConfig):
    """Registers the bundles app with Django."""

    name = "bundles"
    verbose_name = "Bundles"
