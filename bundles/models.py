"""The bundles that this deployment made, their manifests and verifications, timelines, stores and sources' status."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from bundles.format.model import paths


@SearchVectorField.register_lookup
class HasWords(models.Lookup):
    """`terms__has_words`: the words match a query written as by `bundles.timelines.terms`."""

    lookup_name = "has_words"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """The column against the query."""
        column, of_column = self.process_lhs(compiler, connection)
        return f"{column} @@ %s::tsquery", (*of_column, self.rhs)


class Bundle(models.Model):
    """A finished bundle. The row is written in the transaction that completes its job."""

    class State(models.TextChoices):
        """Whether the file existed when it was last checked."""

        READY = "ready", "Ready"
        LOST = "lost", "File missing"

    bundle_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    incident_id = models.TextField()
    name = models.TextField(unique=True, help_text="file name in OUTPUT_DIR; never reused")
    size = models.BigIntegerField(help_text="bytes of the file")
    sha256 = models.CharField(max_length=64, help_text="of the file, hex")
    created_at = models.DateTimeField()
    created_by = models.TextField()
    job_id = models.UUIDField(unique=True, null=True)
    source = models.TextField(help_text="live or restored")
    compression = models.TextField()
    key_id = models.CharField(max_length=64)
    signer = models.TextField(blank=True)
    content_digest = models.CharField(max_length=64)
    manifest_hash = models.CharField(max_length=64)
    complete = models.BooleanField()
    missing = models.JSONField(default=list)
    files = models.IntegerField()
    total_bytes = models.BigIntegerField(help_text="bytes of the payload, unpacked")
    state = models.TextField(choices=State.choices, default=State.READY)
    verified_at = models.DateTimeField(null=True, help_text="when the last verification ended")
    verified_ok = models.BooleanField(null=True, help_text="its verdict")
    counts = models.JSONField(
        null=True, help_text="events, alerts by severity, artifacts; null until they were counted"
    )
    sources = models.JSONField(
        default=dict, help_text="part: by which adapter, profile and rules it was read, as the manifest has it"
    )

    class Meta:
        """Permissions and indexes."""

        db_table = "orchestrator_bundles"
        default_permissions = ("view",)
        permissions = (
            ("create_bundle", "Can bundle an incident"),
            ("verify_bundle", "Can verify a bundle"),
            ("download_bundle", "Can download a bundle"),
        )
        indexes = (
            models.Index(fields=["-created_at", "-bundle_id"], name="bundle_newest"),
            models.Index(fields=["incident_id", "-created_at", "-bundle_id"], name="bundle_of_incident"),
            models.Index(fields=["sha256"], name="bundle_digest"),
            models.Index(fields=["content_digest"], name="bundle_content"),
            models.Index(fields=["key_id", "-created_at"], name="bundle_signer"),
            models.Index(fields=["size"], name="bundle_size"),
            models.Index(fields=["-created_at"], condition=models.Q(counts__isnull=True), name="bundle_unread"),
            GinIndex(fields=["sources"], opclasses=["jsonb_path_ops"], name="bundle_sources"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(size__gt=0, files__gte=0, total_bytes__gte=0), name="bundle_sizes"
            ),
            models.CheckConstraint(
                condition=models.Q(sha256__regex=r"^[0-9a-f]{64}$", content_digest__regex=r"^[0-9a-f]{64}$"),
                name="bundle_digests_are_hex",
            ),
            models.CheckConstraint(
                condition=models.Q(complete=True, missing=[]) | (models.Q(complete=False) & ~models.Q(missing=[])),
                name="bundle_complete_means_nothing_missing",
            ),
            models.CheckConstraint(
                condition=models.Q(verified_at=None, verified_ok=None)
                | models.Q(verified_at__isnull=False, verified_ok__isnull=False),
                name="bundle_verdict_has_time",
            ),
        )

    def __str__(self) -> str:
        """The bundle's file name."""
        return self.name

    @property
    def path(self) -> str:
        """The file's path relative to OUTPUT_DIR."""
        return self.name


class Manifest(models.Model):
    """The signed bytes of a bundle's manifest, so that they can be read without unpacking it."""

    bundle = models.OneToOneField(Bundle, on_delete=models.CASCADE, primary_key=True, related_name="manifest")
    raw = models.BinaryField()

    class Meta:
        """Visible to everyone who may see the bundle."""

        db_table = "orchestrator_bundle_manifests"
        default_permissions = ()

    def __str__(self) -> str:
        """The bundle's id."""
        return f"manifest of {self.bundle_id}"


class BundledArtifact(models.Model):
    """An artifact in a bundle, for the bundle's page and for the search across all bundles.

    Derived from the signed manifest and `artifacts.json`. The indexes on names are in migration 0002.
    """

    pk = models.CompositePrimaryKey("bundle_id", "place")
    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="artifacts", db_index=False)
    place = models.IntegerField(help_text="which of the manifest's files, from 0")
    artifact_id = models.TextField()
    name = models.TextField(help_text="last part of the file's path in the bundle")
    size = models.BigIntegerField(help_text="bytes")
    sha256 = models.CharField(max_length=64, help_text="hex")
    # From the artifact's record in artifacts.json; empty where the record says nothing.
    original_name = models.TextField(blank=True, help_text="name in its record, if it is not `name`")
    kind = models.TextField(blank=True)
    host = models.TextField(blank=True, help_text="where it was collected")
    collected_at = models.TextField(blank=True, help_text="as written in the record")
    faults = models.TextField(blank=True, help_text="what the record states to be odd about it, one sentence a line")

    class Meta:
        """Visible to everyone who may see the bundle."""

        db_table = "orchestrator_bundle_artifacts"
        default_permissions = ()
        indexes = (
            models.Index(fields=["artifact_id"], name="bundled_artifact_by_id"),
            models.Index(fields=["sha256"], name="bundled_artifact_by_digest"),
        )

    def __str__(self) -> str:
        """The artifact's and the bundle's id."""
        return f"{self.artifact_id} in {self.bundle_id}"

    @property
    def path(self) -> str:
        """The file's path in the bundle."""
        return f"{paths.ARTIFACT_FOLDER}/{self.artifact_id}/{self.name}"


class RangeDigests(models.Model):
    """SHA-256 of each range of a bundle's file, so that a copy elsewhere can be compared without an upload."""

    bundle = models.OneToOneField(Bundle, on_delete=models.CASCADE, primary_key=True, related_name="range_digests")
    digests = models.BinaryField(
        help_text="32 bytes a range, in order; bundles.format.reading.ranges tells how long one is"
    )
    root = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of `digests`, hex")

    class Meta:
        """Visible to everyone who may see the bundle."""

        db_table = "orchestrator_bundle_ranges"
        default_permissions = ()
        constraints = (
            models.CheckConstraint(condition=models.Q(root__regex=r"^[0-9a-f]{64}$"), name="bundle_range_root_is_hex"),
        )

    def __str__(self) -> str:
        """The bundle's id."""
        return f"range digests of {self.bundle_id}"


class Verification(models.Model):
    """A verification of a bundle's file: when, by whom, and its report."""

    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="verifications")
    at = models.DateTimeField()
    ok = models.BooleanField()
    report = models.JSONField(help_text="the verification report of docs/bundle-format.md")
    job_id = models.UUIDField(unique=True)
    requested_by = models.TextField()

    class Meta:
        """Newest first."""

        db_table = "orchestrator_bundle_verifications"
        default_permissions = ()
        ordering = ("-at", "-id")
        indexes = (models.Index(fields=["bundle", "-at"], name="verification_newest"),)

    def __str__(self) -> str:
        """The verdict in one line."""
        return f"{self.bundle_id}: {'verified' if self.ok else 'not verified'}"


class KeptTimeline(models.Model):
    """The indexed records of an incident: of its newest bundle with data, or as restored here.

    Derived from the evidence and can be rebuilt at any time, so `bundle_id` is not a foreign key.
    """

    class Origin(models.TextChoices):
        """Where the records come from."""

        BUNDLE = "bundle", "A bundle"
        RESTORED = "restored", "What was restored here"
        HIDDEN = "hidden", "Not shown: being written, or replaced"

    incident_id = models.TextField()
    origin = models.TextField(choices=Origin.choices)
    bundle_id = models.UUIDField(null=True, help_text="the newest bundle that carries these records")
    sha256 = models.CharField(max_length=64, blank=True, help_text="over the digests of that bundle's data members")
    read_at = models.DateTimeField()
    events = models.BigIntegerField(null=True, help_text="in the evidence; null if the bundle has no timeline")
    kept = models.BigIntegerField(default=0, help_text="indexed records: all, or none if there are too many")
    dated = models.BigIntegerField(default=0, help_text="of those, with a time that can be read")
    first_us = models.BigIntegerField(null=True, help_text="earliest time, microseconds since 1970, UTC")
    last_us = models.BigIntegerField(null=True, help_text="latest time")
    main_first_us = models.BigIntegerField(null=True, help_text="earliest time but for a few records far away")
    main_last_us = models.BigIntegerField(null=True, help_text="latest time but for a few records far away")
    facts = models.JSONField(default=dict, help_text="see bundles.timelines.facts")
    lease_token = models.UUIDField(null=True, help_text="of the attempt that writes hidden records; else null")

    class Meta:
        """Visible to everyone who may see bundles."""

        db_table = "orchestrator_timelines"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["incident_id", "origin"], condition=~models.Q(origin="hidden"), name="timeline_of_incident"
            ),
        )

    def __str__(self) -> str:
        """The incident and the origin."""
        return f"records of {self.incident_id} ({self.origin})"


class IndexedRecord(models.Model):
    """An event, alert or artifact of an incident; see `bundles.timelines.reading.Point` for the columns."""

    pk = models.CompositePrimaryKey("timeline_id", "kind", "position")
    timeline = models.ForeignKey(KeptTimeline, on_delete=models.CASCADE, related_name="records", db_index=False)
    kind = models.TextField(help_text="event, alert or artifact")
    position = models.BigIntegerField(help_text="place among its kind in the evidence, from 0")
    at_us = models.BigIntegerField()
    time = models.TextField(blank=True)
    phase = models.TextField(blank=True)
    severity = models.SmallIntegerField()
    rated = models.TextField(blank=True)
    what = models.TextField(blank=True)
    technique = models.TextField(blank=True)
    hosts = ArrayField(models.TextField())
    accounts = ArrayField(models.TextField())
    source = models.TextField(blank=True)
    target = models.TextField(blank=True)
    record = models.TextField(help_text="canonical JSON, cut at a limit")
    terms = SearchVectorField()

    class Meta:
        """Ordered by time; one index serves the paged lists, the other the search."""

        db_table = "orchestrator_indexed_records"
        default_permissions = ()
        ordering = ("at_us", "kind", "position")
        indexes = (
            models.Index(fields=["timeline", "at_us", "kind", "position"], name="record_order"),
            GinIndex(fields=["terms"], name="record_terms"),
        )

    def __str__(self) -> str:
        """The record's kind, position and timeline."""
        return f"{self.kind} {self.position} of timeline {self.timeline_id}"


class RecordCount(models.Model):
    """How many records of one kind, phase and severity an interval of an incident's time has.

    The intervals are equal parts of the time from `main_first_us` to `main_last_us`; see `bundles.timelines.facts`.
    They let the page draw a million records without reading them.
    """

    pk = models.CompositePrimaryKey("timeline_id", "bucket", "kind", "phase", "severity")
    timeline = models.ForeignKey(KeptTimeline, on_delete=models.CASCADE, related_name="counts", db_index=False)
    bucket = models.IntegerField(help_text="the interval, from 0; negative outside, see bundles.timelines.facts")
    kind = models.TextField()
    phase = models.TextField(blank=True)
    severity = models.SmallIntegerField()
    records = models.BigIntegerField()
    first_us = models.BigIntegerField()
    last_us = models.BigIntegerField()

    class Meta:
        """A few thousand rows an incident."""

        db_table = "orchestrator_record_counts"
        default_permissions = ()

    def __str__(self) -> str:
        """The interval and its number."""
        return f"{self.records} {self.kind}s in interval {self.bucket} of timeline {self.timeline_id}"


class Store(models.Model):
    """The id of the bundle or artifact store that all hosts must use; see `storage.store_identity`."""

    kind = models.TextField(primary_key=True, help_text="bundles or artifacts")
    store_id = models.UUIDField(help_text="as in its marker file")
    host = models.TextField(help_text="which used it first, or adopted it")
    since = models.DateTimeField()

    class Meta:
        """One row per kind of store."""

        db_table = "orchestrator_stores"
        default_permissions = ()

    def __str__(self) -> str:
        """The store in one line."""
        return f"{self.kind}: {self.store_id}"


class DependencyStatus(models.Model):
    """The last known status of an external dependency, such as a source."""

    name = models.TextField(primary_key=True, help_text="such as source.artifacts")
    title = models.TextField()
    ok = models.BooleanField()
    detail = models.TextField(blank=True, help_text="one sentence")
    seen_at = models.DateTimeField(help_text="when somebody last looked")
    since = models.DateTimeField(help_text="when it was first seen as it is now")

    class Meta:
        """A few rows, read by Home."""

        db_table = "orchestrator_lookouts"
        default_permissions = ()

    def __str__(self) -> str:
        """The status in one line."""
        return f"{self.name}: {'ok' if self.ok else self.detail}"


class Observable(models.Model):
    """A hash or address that the records of an incident hold, to find the other incidents that hold it.

    Derived from the evidence together with the records, and replaced with them.
    """

    pk = models.CompositePrimaryKey("value", "timeline_id")
    value = models.TextField(help_text="as bundles.timelines.observables reads it")
    timeline = models.ForeignKey(KeptTimeline, on_delete=models.CASCADE, related_name="observables")

    class Meta:
        """The key finds a value in all incidents, the index of the foreign key all values of one."""

        db_table = "orchestrator_observables"
        default_permissions = ()

    def __str__(self) -> str:
        """The value and the incident's records."""
        return f"{self.value} in {self.timeline_id}"


class Intake(models.Model):
    """A delivered file that becomes a bundle: what it is called, what is in it, and what became of it."""

    class State(models.TextChoices):
        """What became of it."""

        RECEIVED = "received", "Received"
        BUNDLED = "bundled", "Bundled"
        DISCARDED = "discarded", "Discarded"

    intake_id = models.UUIDField(primary_key=True)
    name = models.TextField(help_text="as it was delivered; never used as a path")
    size = models.BigIntegerField(help_text="bytes")
    sha256 = models.CharField(max_length=64)
    received_at = models.DateTimeField()
    received_by = models.TextField()
    state = models.TextField(choices=State.choices, default=State.RECEIVED)
    preview = models.JSONField(null=True, help_text="see bundles.intake.preview; null until it was read")
    preview_job_id = models.UUIDField(null=True, help_text="the job that reads it")
    job_id = models.UUIDField(null=True, help_text="the newest job that makes its bundle")
    bundle_id = models.UUIDField(null=True, help_text="its newest bundle")

    class Meta:
        """Visible to everyone who may bundle."""

        db_table = "orchestrator_intakes"
        default_permissions = ()
        ordering = ("-received_at", "-intake_id")
        indexes = (models.Index(fields=["sha256"], name="intake_by_digest"),)

    def __str__(self) -> str:
        """The name and the state."""
        return f"{self.name} ({self.state})"


class IntakeMapping(models.Model):
    """A mapping of columns under a name, for files that are not understood without one."""

    name = models.CharField(max_length=64, primary_key=True)
    mapping = models.JSONField(help_text="ours → the column or field that holds it; see bundles.intake.formats.kinds")
    saved_at = models.DateTimeField()
    saved_by = models.TextField()

    class Meta:
        """Everyone who may bundle uses and saves them."""

        db_table = "orchestrator_intake_mappings"
        default_permissions = ()
        ordering = ("name",)

    def __str__(self) -> str:
        """The name."""
        return self.name
