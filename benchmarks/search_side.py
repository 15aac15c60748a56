"""The part of the search that needs Django: fills the database, searches through the service, prints JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from uuid import uuid4

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.queue_settings"
django.setup()

from django.db import connection  # noqa: E402 # Django must be set up before
from django.utils import timezone  # noqa: E402

from benchmarks import search_rows  # noqa: E402
from bundles.models import Bundle, IndexedRecord  # noqa: E402
from foundation.principal import SYSTEM  # noqa: E402
from incidents.search import elsewhere, search  # noqa: E402

TABLES = ("orchestrator_indexed_records", "orchestrator_bundle_artifacts", "orchestrator_observables")
WRITERS = 2
ROUNDS = 20
LIMIT = 10


def main() -> None:
    """Fill, measure, print."""
    records = int(sys.argv[1])
    begun = time.monotonic()
    _fill(records // search_rows.INCIDENTS)
    filled_s = time.monotonic() - begun
    report: dict[str, Any] = {"filled_s": filled_s, "sizes": _sizes(), "searches": {}}
    for name, text in _texts().items():
        report["searches"][name] = {"text": text, **_measured(text)}
    report["elsewhere"] = _timed(lambda: elsewhere.seen_elsewhere(SYSTEM, search_rows.incident_id(0)))
    sys.stdout.write(json.dumps(report))


def _fill(records: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'orchestrator_indexed_records'"
            " AND indexname IN ('record_terms', 'record_order')"
        )
        indexes = dict(cursor.fetchall())
        for name in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute("ALTER TABLE orchestrator_indexed_records SET UNLOGGED")  # only filling is faster
    settings = connection.get_connection_params()
    dsn = " ".join(f"{key}={settings[key]}" for key in ("host", "dbname", "user"))
    connection.close()  # processes below are forked
    numbers = range(search_rows.INCIDENTS)
    with ProcessPoolExecutor(WRITERS) as pool:
        list(pool.map(search_rows.fill, [dsn] * len(numbers), numbers, [records] * len(numbers)))
    for number in numbers:
        _bundle(number)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET maintenance_work_mem = '1GB'")
        for definition in indexes.values():
            cursor.execute(definition)
        for table in ("orchestrator_timelines", "orchestrator_bundles", *TABLES):
            cursor.execute(f"VACUUM ANALYZE {table}")
    connection.close()


def _bundle(number: int) -> None:
    made = Bundle.objects.create(
        incident_id=search_rows.incident_id(number),
        name=f"bundle_{search_rows.incident_id(number)}.tar.zst",
        size=1, sha256=uuid4().hex * 2, created_at=timezone.now(), created_by="bench", source="live",
        compression="zstd", key_id="0" * 64, content_digest=uuid4().hex * 2, manifest_hash="0" * 64, complete=True,
        files=search_rows.ARTIFACTS, total_bytes=1,
    )  # fmt: skip
    named = list(search_rows.artifact_names(number))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrator_bundle_artifacts (bundle_id, place, artifact_id, name, size, sha256,"
            " original_name, kind, host, collected_at)"
            " SELECT %s, place, id, name, place, encode(sha256((%s || id)::bytea), 'hex'), '', '', '', ''"
            " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS given (id, name, place)",
            [made.pk, str(number), [one for one, _ in named], [name for _, name in named]],
        )


def _texts() -> dict[str, str]:
    some = IndexedRecord.objects.filter(kind="event")[10:11].get()
    record = json.loads(some.record)
    host, account = record["hostname"], record["username"]
    return {
        "rare word": search_rows.TOOL,
        "common word": "powershell",
        "word of every record": "corp",
        "two words": f"rundll32 {account}",
        "common and rare": f"powershell {search_rows.TOOL}",
        "host": host,
        "prefix": host[:9],
        "address": record["source"],
        "hash": record["process"]["sha256"],
        "technique": "T1003.001",
        "path": "system32\\cmd.exe",
        "part of artifacts' names": "imikat",
        "common part of artifacts' names": ".evtx",
        "nothing": "nosuchthinganywhere",
    }


def _measured(text: str) -> dict[str, Any]:
    found = search.search(SYSTEM, text, limit=LIMIT)
    matches = sum(group.events.number + group.alerts.number + group.artifacts.number for group in found.groups)
    incidents = len(found.groups) + len(found.others)
    timed = _timed(lambda: search.search(SYSTEM, text, limit=LIMIT))
    return {"matches": matches, "incidents": incidents, "complete": found.is_complete, "seconds": timed}


def _timed(call: Any) -> list[float]:
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return seconds


def _sizes() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_table_size(oid) FROM pg_class WHERE relname = ANY(%s) UNION ALL"
            " SELECT relname, pg_relation_size(oid) FROM pg_class JOIN pg_index ON indexrelid = oid"
            " WHERE indrelid = ANY(%s::regclass[])",
            [list(TABLES), list(TABLES)],
        )
        return dict(cursor.fetchall())


if __name__ == "__main__":
    main()
