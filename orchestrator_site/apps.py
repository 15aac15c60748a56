"""The site as a Django app: its system checks, roles and error mapping."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SiteConfig(AppConfig):
    """Registers the site's checks and signal receivers."""

    name = "orchestrator_site"
    verbose_name = "Site"

    def ready(self) -> None:
        """Register checks and signal receivers; fill the role groups after every migration."""
        # Imported here because they import models.
        from orchestrator_site.accounts import roles, session_age, throttle  # noqa: F401
        from orchestrator_site.configuration import checks, host_checks, source_checks  # noqa: F401

        post_migrate.connect(roles.fill_after_migrate, dispatch_uid="orchestrator_site.accounts.roles")
