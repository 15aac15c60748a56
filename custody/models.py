"""The custody table: one row an event, each carrying the hash of the one before."""

from django.db import models


class Event(models.Model):
    """One line of the record. The database itself refuses to change, remove or misplace one (migration 0002)."""

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.TextField()
    authenticated_by = models.TextField()
    address = models.TextField(blank=True)
    action = models.TextField()
    object_type = models.TextField()
    object_id = models.TextField()
    incident_id = models.TextField(blank=True)
    digest = models.TextField(blank=True)
    outcome = models.TextField()
    details = models.TextField(help_text="canonical JSON")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        """Table, order and the one right there is: to look."""

        db_table = "orchestrator_custody"
        ordering = ("-sequence",)
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=["incident_id", "-sequence"], name="custody_incident"),
            models.Index(fields=["object_type", "object_id", "-sequence"], name="custody_object"),
            models.Index(fields=["action", "-sequence"], name="custody_action"),
            models.Index(fields=["actor", "-sequence"], name="custody_actor"),
        )

    def __str__(self) -> str:
        """The event in one line."""
        return f"#{self.sequence} {self.actor} {self.action} {self.object_type} {self.object_id}: {self.outcome}"
