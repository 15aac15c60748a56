"""The site as a Django app: its system checks, roles and error mapping."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """Connects what belongs to no single app."""

    name = "orchestrator_site"
    verbose_name = "Site"
