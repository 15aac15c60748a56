"""The tables that hold restored incidents.

`record` columns keep a record's canonical JSON line as ASCII text, so that what comes out is byte for byte what was
signed; the other columns are taken from it for keys, order and lists. Rows are added, never changed in content.
"""

from __future__ import annotations

import uuid

from django.db import models


class RestoredIncident(models.Model):
    """An incident that was put back at least once, and what was found missing from it.

    `missing` is what no bundle restored so far has carried. `left_out` is what a bundle carried and a restore could not
    put beside what was here: SHA-256 of the bundle → source → how many records and files. `bundle_sha256`,
    `content_digest`, `restored_at` and `restored_by` belong to the first restore. `has_alerts` and `has_artifacts`
    distinguish an empty list from one that no bundle contained. `rules` is how the source of each part writes
    severities and times, from the newest restore that had the part (`bundles.timelines.rules`).
    """

    incident_id = models.TextField(primary_key=True)
    restored_at = models.DateTimeField()
    restored_by = models.TextField()
    bundle_sha256 = models.CharField(max_length=64)
    content_digest = models.CharField(max_length=64)
    signature_checked = models.BooleanField()
    has_alerts = models.BooleanField()
    has_artifacts = models.BooleanField()
    missing = models.JSONField(default=list)
    left_out = models.JSONField(default=dict)
    rules = models.JSONField(default=dict)
    events = models.BigIntegerField(default=0)
    alerts = models.BigIntegerField(default=0)
    artifacts = models.BigIntegerField(default=0)

    class Meta:
        """Table and rights."""

        db_table = "orchestrator_restored_incidents"
        default_permissions = ("view",)
        permissions = (
            ("restore_bundle", "Can restore a bundle"),
            ("skip_signature", "Can restore a bundle whose signature is not checked"),
        )

    def __str__(self) -> str:
        """The incident's id."""
        return self.incident_id


class TimelineHeader(models.Model):
    """A timeline without its events, as one canonical record."""

    incident_id = models.TextField(primary_key=True)
    record = models.TextField()

    class Meta:
        """Table and rights."""

        db_table = "orchestrator_timeline_headers"
        default_permissions = ()

    def __str__(self) -> str:
        """Whose timeline it is."""
        return f"timeline of {self.incident_id}"


class TimelineEvent(models.Model):
    """One event of a timeline. Events have no id: the key is the digest of the record and which of its like it is."""

    incident_id = models.TextField()
    event_digest = models.CharField(max_length=64, help_text="SHA-256 (hex) of the record")
    occurrence = models.IntegerField(help_text="0 for the first event with this digest, then 1, 2 …")
    position = models.BigIntegerField(help_text="place in the timeline as it was served, from 0")
    record = models.TextField()

    class Meta:
        """Table, key, order and rights."""

        db_table = "orchestrator_timeline_events"
        default_permissions = ()
        ordering = ("position", "id")
        constraints = (
            models.UniqueConstraint(fields=["incident_id", "event_digest", "occurrence"], name="timeline_event_key"),
        )
        indexes = (models.Index(fields=["incident_id", "position", "id"], name="timeline_event_order"),)

    def __str__(self) -> str:
        """Which event it is."""
        return f"event {self.position} of {self.incident_id}"


class Alert(models.Model):
    """One alert; `timestamp`, `severity` and `title` are for lists, the record is what counts.

    Ids are not unique: the key is the id with its JSON type, and which of its like the alert is.
    """

    incident_id = models.TextField()
    id_type = models.CharField(max_length=7, default="string", help_text="as in rehydration.records.Key")
    alert_id = models.TextField()
    occurrence = models.IntegerField(default=0, help_text="0 for the first alert with this id, then 1, 2 …")
    timestamp = models.TextField(db_collation="C")
    severity = models.TextField(blank=True)
    title = models.TextField(blank=True)
    record = models.TextField()

    class Meta:
        """Table, key, order and rights."""

        db_table = "orchestrator_alerts"
        default_permissions = ()
        ordering = ("timestamp", "id")
        constraints = (
            models.UniqueConstraint(fields=["incident_id", "alert_id", "id_type", "occurrence"], name="alert_key"),
        )
        indexes = (
            models.Index(fields=["incident_id", "timestamp", "id"], name="alert_order"),
            models.Index(fields=["incident_id", "severity"], name="alert_severity"),
        )

    def __str__(self) -> str:
        """Which alert it is."""
        return f"alert {self.alert_id} of {self.incident_id}"


class ArtifactRecord(models.Model):
    """One artifact: its record and where its file lies in the artifact store, if a bundle carried the file.

    The key is as that of an alert. Two records of one artifact share its file.
    """

    incident_id = models.TextField()
    id_type = models.CharField(max_length=7, default="string", help_text="as in rehydration.records.Key")
    artifact_id = models.TextField()
    occurrence = models.IntegerField(default=0, help_text="0 for the first record with this id, then 1, 2 …")
    name = models.TextField(help_text="the true name, what cannot be stored escaped")
    size = models.BigIntegerField(default=0, help_text="bytes of the file")
    sha256 = models.CharField(max_length=64, blank=True)
    stored_path = models.TextField(blank=True, help_text="below FORENSIC_STORAGE_PATH; empty without a file")
    record = models.TextField()

    class Meta:
        """Table, key, order and rights."""

        db_table = "orchestrator_artifact_records"
        default_permissions = ()
        ordering = ("artifact_id", "id")
        constraints = (
            models.UniqueConstraint(
                fields=["incident_id", "artifact_id", "id_type", "occurrence"], name="artifact_record_key"
            ),
        )

    def __str__(self) -> str:
        """Which artifact it is."""
        return f"artifact {self.artifact_id} of {self.incident_id}"


class RestoreRequest(models.Model):
    """Somebody who may not restore asks an operator to restore one bundle.

    It is done when the bundle is restored, by whichever way, and declined when an operator says so and why.
    """

    class State(models.TextChoices):
        """Whether somebody has decided."""

        OPEN = "open", "Open"
        DONE = "done", "Done"
        DECLINED = "declined", "Declined"

    request_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    bundle_id = models.UUIDField()
    incident_id = models.TextField(help_text="of the bundle")
    asked_at = models.DateTimeField()
    asked_by = models.TextField()
    note = models.TextField(blank=True, help_text="why, for the operator")
    state = models.TextField(choices=State.choices, default=State.OPEN)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.TextField(blank=True)
    reason = models.TextField(blank=True, help_text="why it was declined")

    class Meta:
        """Table, the right to ask, and the indexes of the lists."""

        db_table = "orchestrator_restore_requests"
        default_permissions = ()
        permissions = (("ask_for_restore", "Can ask an operator for a restore"),)
        constraints = (
            models.UniqueConstraint(
                fields=["bundle_id", "asked_by"], condition=models.Q(state="open"), name="restore_request_once_open"
            ),
            models.CheckConstraint(
                condition=models.Q(state="open", decided_at=None)
                | (~models.Q(state="open") & models.Q(decided_at__isnull=False)),
                name="restore_request_decided_has_time",
            ),
        )
        indexes = (
            models.Index(fields=["-asked_at", "-request_id"], name="restore_request_newest"),
            models.Index(fields=["state", "-asked_at", "-request_id"], name="restore_request_by_state"),
            models.Index(fields=["asked_by", "-asked_at", "-request_id"], name="restore_request_of"),
        )

    def __str__(self) -> str:
        """The request in one line."""
        return f"{self.asked_by} asks for {self.incident_id} ({self.state})"

    @property
    def is_open(self) -> bool:
        """Whether nobody has decided yet."""
        return self.state == self.State.OPEN
