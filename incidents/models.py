"""What a person keeps of the page of incidents: named views, and how the list of records opens."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class SavedView(models.Model):
    """A filter of records under a name; it can be applied to every incident.

    The one without a name is how the list opens for this person: it has the columns.
    """

    owner = models.TextField(help_text="user name")
    name = models.TextField(blank=True)
    query = models.TextField(help_text="the query of the page's address, from its question mark on")
    columns = ArrayField(models.TextField(), default=list, help_text="of incidents.columns; the usual ones if empty")

    class Meta:
        """One name once for each person."""

        db_table = "orchestrator_saved_views"
        default_permissions = ()
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=["owner", "name"], name="saved_view_name"),)

    def __str__(self) -> str:
        """The name and whose it is."""
        return f"{self.name} of {self.owner}"
