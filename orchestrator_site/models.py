"""Tables of the site: console sessions, details of API tokens, each user's last visit, and each user's choices."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession, BaseSessionManager
from django.db import models
from knox.models import AuthToken


class ConsoleSessionManager(BaseSessionManager["ConsoleSession"]):
    """Reads each session together with its user's time zone, which every page needs."""

    def get_queryset(self) -> models.QuerySet[ConsoleSession]:
        """All sessions; `time_zone` is None for a user who chose none."""
        return super().get_queryset().annotate(time_zone=models.F("user__choices__time_zone"))


class ConsoleSession(AbstractBaseSession):
    """One session of the console, with its user, so that all sessions of a user can be ended."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="console_sessions"
    )
    began_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True, help_text="last act of a person; live updates do not count")
    address = models.TextField(blank=True)
    agent = models.TextField(blank=True, help_text="what the browser calls itself")

    objects: ClassVar[ConsoleSessionManager] = ConsoleSessionManager()

    class Meta:
        """Table, and the permission to see the settings, which belongs to no row."""

        db_table = "orchestrator_sessions"
        default_permissions = ()
        permissions = (("view_settings", "Can see settings, checks and versions"),)

    def __str__(self) -> str:
        """Whose session it is."""
        return f"session of {self.user_id}"

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        """The store that writes this table."""
        from orchestrator_site.accounts.session_store import SessionStore  # it imports this module

        return SessionStore


class TokenDetails(models.Model):
    """Details of a token that knox does not store: name, scope, time and address of its last use."""

    token = models.OneToOneField(AuthToken, on_delete=models.CASCADE, primary_key=True, related_name="details")
    name = models.TextField(blank=True)
    role = models.TextField(blank=True, help_text="may do no more than this role; empty: whatever its user may")
    last_used_at = models.DateTimeField(null=True)
    last_used_from = models.TextField(blank=True)

    class Meta:
        """Only its owner sees it."""

        db_table = "orchestrator_token_details"
        default_permissions = ()

    def __str__(self) -> str:
        """The token's name."""
        return self.name


class Visit(models.Model):
    """The current and the previous visit of one user."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    seen_at = models.DateTimeField(help_text="the last page of this visit, to the minute")
    before_at = models.DateTimeField(null=True, help_text="the last page of the visit before; none at the first")

    class Meta:
        """Used only by the Home page of its user."""

        db_table = "orchestrator_visits"
        default_permissions = ()

    def __str__(self) -> str:
        """The visit in one line."""
        return f"user {self.user_id} seen {self.seen_at}"


class Choices(models.Model):
    """What one user chose for the console."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="choices"
    )
    time_zone = models.TextField(blank=True, help_text="IANA name, shown beside UTC; empty: UTC only")

    class Meta:
        """Only its user sees and changes it."""

        db_table = "orchestrator_choices"
        default_permissions = ()

    def __str__(self) -> str:
        """The choices in one line."""
        return f"choices of user {self.user_id}"
