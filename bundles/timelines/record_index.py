"""Indexes the records of an incident in a table, per incident and origin; replaced when the evidence changes.

The index serves the incident's page and the search. Everything in it is derived from the evidence and can be rebuilt at
any time. The records of a bundle are written hidden, in transactions of their own; the transaction that registers the
bundle only makes them visible in place of the previous ones. So it is short, and a page never sees half of an index.
What is hidden and no attempt will show any more, `remove_hidden` removes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from bundles.format.model import paths
from bundles.format.model.records import iter_array, parse_record, read_timeline
from bundles.models import KeptTimeline
from bundles.timelines import facts, observables
from bundles.timelines.reading import ALERT, ARTIFACT, EVENT, Point, point_of
from bundles.timelines.rules import NO_RULES, RULE_KEYS, Rules, of_entry
from bundles.timelines.severities import SEVERITIES
from bundles.timelines.span import main_stretch
from bundles.timelines.times import UNDATED
from foundation import db_session
from foundation.log_format import logger
from jobs.models import Job

log = logger("bundles")

MOST_RECORDS = 2_000_000  # of an incident; a longer one is not indexed
CHECK_EVERY = 1000
BATCH = 1000
REMOVED_AT_ONCE = 10_000
SOURCES = {EVENT: "timeline", ALERT: "alerts", ARTIFACT: "artifacts"}  # in the manifest
MEMBERS = {EVENT: paths.TIMELINE, ALERT: paths.ALERTS, ARTIFACT: paths.ARTIFACTS}

# Not COPY: a worker's connection waits by a callback, which rules it out.
_INSERT = """
INSERT INTO orchestrator_indexed_records (timeline_id, kind, position, at_us, time, phase, severity, rated, what,
    technique, hosts, accounts, source, target, record, terms)
SELECT %s, kind, position, at_us, time, phase, severity, rated, what, technique, hosts::text[], accounts::text[],
    source, target, record, terms::tsvector
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::smallint[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS row (kind, position, at_us, time, phase, severity, rated, what, technique, hosts, accounts, source, target,
        record, terms)"""
_REMOVE_SOME = """
DELETE FROM orchestrator_indexed_records WHERE timeline_id = %(timeline)s AND (kind, position) IN (
    SELECT kind, position FROM orchestrator_indexed_records WHERE timeline_id = %(timeline)s LIMIT %(most)s)"""
_QUOTED = str.maketrans({"\\": r"\\", '"': r"\""})
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A bundle's records, read before the transaction that stores them.

    Attributes:
        rows: the scratch file with one row of the table per line, as JSON; must exist until the rows are stored.
        records: number of rows; 0 if there are more than `MOST_RECORDS`.
        sha256: over the SHA-256 digests of the data members that were read, and the rules; empty if there were none.
        counts: `events`, `alerts` (by severity) and `artifacts`; None for each that the bundle does not have.
        observables: the hashes and addresses in the records.
        hidden: the key of the hidden timeline with these rows; None if `write_hidden` has not written it.
    """

    rows: Path
    records: int
    sha256: str
    counts: dict[str, Any]
    observables: set[str]
    hidden: int | None = None


def prepare(
    members: dict[str, Path],
    sha256_of: dict[str, str],
    scratch: Path,
    check: Callable[[], None] = lambda: None,
    *,
    on_artifact: Callable[[dict[str, Any]], None] = lambda _: None,
    rules: Mapping[str, Rules] | None = None,
) -> Prepared:
    """Read a bundle's data members.

    Args:
        members: `timeline.json`, `alerts.json`, `artifacts.json` → the file, if the bundle has it.
        sha256_of: member → its SHA-256 (hex).
        scratch: the new file for the rows.
        check: called often; raises to stop the work.
        on_artifact: called with the record of each artifact.
        rules: kind → how its source writes severities and times; see `rules_of`.

    Raises:
        RecordError: a member is malformed.
    """
    counted: dict[str, Counter[str]] = {}
    values: set[str] = set()
    written = 0
    with scratch.open("x", encoding="ascii") as out:
        for kind, member in MEMBERS.items():
            if member not in members:
                continue
            found = counted[kind] = Counter()
            for position, (record, line) in enumerate(_records(kind, members[member])):
                if position % CHECK_EVERY == 0:
                    check()
                if kind == ARTIFACT:
                    on_artifact(record)
                point = point_of(record, line.decode("ascii"), kind, (rules or {}).get(kind, NO_RULES))
                found[SEVERITIES[point.severity]] += 1
                written += 1
                if written <= MOST_RECORDS:
                    out.write(json.dumps(_row(kind, position, point)) + "\n")
                    observables.collect(record, values)
    digests = "".join(sha256_of.get(MEMBERS[kind], "") for kind in counted)
    if digests and rules:
        digests += "".join(rules[kind].words for kind in counted if kind in rules)
    events, alerts, artifacts = (counted.get(kind) for kind in (EVENT, ALERT, ARTIFACT))
    return Prepared(
        rows=scratch,
        records=written if written <= MOST_RECORDS else 0,
        sha256=hashlib.sha256(digests.encode()).hexdigest() if digests else "",
        counts={
            "events": None if events is None else events.total(),
            "alerts": None if alerts is None else dict(alerts),
            "artifacts": None if artifacts is None else artifacts.total(),
        },
        observables=values,
    )


def write_hidden(
    incident_id: str, prepared: Prepared, lease_token: UUID, check: Callable[[], None] = lambda: None
) -> Prepared:
    """Write a bundle's records where no reader sees them, a batch in each transaction, before `keep_bundled`.

    Without this, or if the connection breaks meanwhile, `keep_bundled` writes them itself.

    Args:
        incident_id: the incident.
        prepared: its records.
        lease_token: of the attempt; once it has ended, `remove_hidden` removes what is still hidden.
        check: called often; raises to stop the work.

    Returns:
        `prepared`, with the key of what was written.
    """
    known = KeptTimeline.objects.filter(incident_id=incident_id, origin=KeptTimeline.Origin.BUNDLE)
    if not prepared.records or known.filter(sha256=prepared.sha256).exists():
        return prepared
    try:
        with db_session.answers_within(db_session.STATEMENT_S):
            hidden = _write(incident_id, _read_rows(prepared, check), prepared.observables, lease_token)
    except (OperationalError, InterfaceError) as error:
        log.warning("the records are written when the bundle is registered", error=db_session.one_line(error))
        connection.close()
        return prepared
    return replace(prepared, hidden=hidden)


def rules_of(metadata: Mapping[str, Any]) -> dict[str, Rules]:
    """Kind → the rules in the entry of its source, of a manifest's metadata."""
    sources = metadata.get("sources")
    entries = sources if isinstance(sources, Mapping) else {}
    return {kind: of_entry(entries.get(SOURCES[kind])) for kind in SOURCES}


def stated_rules(metadata: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Part → `severities` and `times` of its source's entry, as they stand in a manifest's metadata.

    A part whose source states none is there with an empty entry, so that it replaces earlier rules.
    """
    sources = metadata.get("sources")
    entries = sources.items() if isinstance(sources, Mapping) else ()
    return {
        part: {name: entry[name] for name in RULE_KEYS if name in entry}
        for part, entry in entries
        if part in SOURCES.values() and isinstance(entry, Mapping)
    }


def keep_bundled(incident_id: str, bundle_id: UUID, prepared: Prepared) -> None:
    """Show a bundle's records as those of its incident, in the caller's transaction.

    A bundle without a timeline does not replace one that has it; a bundle without data members changes nothing.
    """
    if not prepared.sha256:
        return
    _lock(incident_id, KeptTimeline.Origin.BUNDLE)
    kept = KeptTimeline.objects.filter(incident_id=incident_id, origin=KeptTimeline.Origin.BUNDLE).first()
    if kept is not None and kept.events is not None and prepared.counts["events"] is None:
        return
    if kept is not None and kept.sha256 == prepared.sha256:
        KeptTimeline.objects.filter(pk=kept.pk).update(bundle_id=bundle_id)
        return
    written = prepared.hidden
    if written is None:
        written = _write(incident_id, _read_rows(prepared), prepared.observables)
    about = {"events": prepared.counts["events"], "bundle_id": bundle_id, "sha256": prepared.sha256}
    _show(written, incident_id, KeptTimeline.Origin.BUNDLE, **about)


def keep_restored(
    incident_id: str,
    records: Mapping[str, Iterable[str]],
    counts: Mapping[str, int],
    rules: Mapping[str, Rules] | None = None,
) -> None:
    """Store what was restored as the records of its incident.

    Args:
        incident_id: the incident.
        records: kind → the canonical JSON of each record, in order.
        counts: kind → their number.
        rules: kind → how its source writes severities and times.
    """
    _lock(incident_id, KeptTimeline.Origin.RESTORED)
    few = sum(counts.values()) <= MOST_RECORDS
    values: set[str] = set()
    rows = _rows_of(records, values, rules or {}) if few else ()
    written = _write(incident_id, rows, values)
    _show(written, incident_id, KeptTimeline.Origin.RESTORED, events=counts.get(EVENT, 0))


def remove_hidden() -> int:
    """Remove the records that were replaced, and those of attempts that have ended without showing them.

    Returns:
        How many timelines were removed.
    """
    # One statement sees one snapshot: only attempts that hold their lease in it can still show their records.
    held = Job.objects.filter(lease_token=OuterRef("lease_token"))
    hidden = KeptTimeline.objects.filter(~Exists(held), origin=KeptTimeline.Origin.HIDDEN)
    keys = list(hidden.values_list("pk", flat=True))
    for key in keys:
        with connection.cursor() as cursor:
            removed = REMOVED_AT_ONCE
            while removed == REMOVED_AT_ONCE:
                cursor.execute(_REMOVE_SOME, {"timeline": key, "most": REMOVED_AT_ONCE})
                removed = cursor.rowcount
        with transaction.atomic():
            KeptTimeline.objects.filter(pk=key).delete()
    return len(keys)


def _read_rows(prepared: Prepared, check: Callable[[], None] = lambda: None) -> Iterator[Row]:
    """The rows of the scratch file, unless there were too many."""
    if not prepared.records:
        return
    with prepared.rows.open(encoding="ascii") as lines:
        for place, line in enumerate(lines):
            if place % CHECK_EVERY == 0:
                check()
            yield tuple(json.loads(line))


def _rows_of(records: Mapping[str, Iterable[str]], values: set[str], rules: Mapping[str, Rules]) -> Iterator[Row]:
    """The rows of restored records; their hashes and addresses are added to `values`."""
    for kind, lines in records.items():
        for position, line in enumerate(lines):
            record = parse_record(line)
            observables.collect(record, values)
            yield _row(kind, position, point_of(record, line, kind, rules.get(kind, NO_RULES)))


def _lock(incident_id: str, origin: str) -> None:
    """Lock this index against other writers until the caller's transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"timeline {origin} {incident_id}"])


def _write(incident_id: str, rows: Iterable[Row], values: set[str], lease_token: UUID | None = None) -> int:
    """Store rows, hidden, with their counts and facts; `values` are complete once all rows were taken."""
    kept = KeptTimeline.objects.create(
        incident_id=incident_id, origin=KeptTimeline.Origin.HIDDEN, read_at=Now(), lease_token=lease_token
    )
    with connection.cursor() as cursor:
        left = iter(rows)
        while batch := list(islice(left, BATCH)):
            cursor.execute(_INSERT, [kept.pk, *map(list, zip(*batch, strict=True))])
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE at_us < %(undated)s), min(at_us), max(at_us) FILTER"
            " (WHERE at_us < %(undated)s) FROM orchestrator_indexed_records WHERE timeline_id = %(pk)s",
            {"undated": UNDATED, "pk": kept.pk},
        )
        records, dated, first, last = cursor.fetchone()
    stretch = {}
    if dated:
        start, end = main_stretch(kept.pk, dated, first, last)
        stretch = {"dated": dated, "first_us": first, "last_us": last, "main_first_us": start, "main_last_us": end}
    KeptTimeline.objects.filter(pk=kept.pk).update(kept=records, **stretch)
    if records:
        facts.keep(kept.pk)
        observables.keep(kept.pk, values)
    return int(kept.pk)


def _show(written: int, incident_id: str, origin: str, **about: Any) -> None:
    """Make written records visible in place of those from before, which stay hidden until they are removed."""
    before = KeptTimeline.objects.filter(incident_id=incident_id, origin=origin)
    before.update(origin=KeptTimeline.Origin.HIDDEN)
    KeptTimeline.objects.filter(pk=written).update(origin=origin, lease_token=None, read_at=Now(), **about)


def _records(kind: str, path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    return read_timeline(path).events if kind == EVENT else iter_array(path)


def _row(kind: str, position: int, point: Point) -> Row:
    """The columns of one row, in the order of `_INSERT`."""
    named = (point.technique, _array(point.hosts), _array(point.accounts))
    rated = (point.severity, point.rated, point.what)
    rest = (point.source, point.target, point.record, point.terms)
    return (kind, position, point.at_us, point.time, point.phase, *rated, *named, *rest)


def _array(names: list[str]) -> str:
    """Texts as a PostgreSQL array literal."""
    return "{" + ",".join('"' + name.translate(_QUOTED) + '"' for name in names) + "}"
