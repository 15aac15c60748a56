"""Reads what the console shows and searches of a record: an event, an alert or an artifact.

Everything comes from the record's own fields. A record without a known phase or severity stays unassigned or unrated;
nothing is guessed from other fields, and no record is left out.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

from bundles.format.model.canonical import canonical_json
from bundles.timelines import severities, terms
from bundles.timelines.rules import NO_RULES, Rules
from bundles.timelines.times import UNDATED, read
from foundation.storable_text import shortened

EVENT, ALERT, ARTIFACT = "event", "alert", "artifact"

# MITRE ATT&CK's tactics in order, with the steps of the Lockheed Martin kill chain that ATT&CK does not have inserted.
PHASES = (
    "reconnaissance", "resource-development", "weaponization", "delivery", "initial-access", "exploitation",
    "execution", "installation", "persistence", "privilege-escalation", "defense-evasion", "credential-access",
    "discovery", "lateral-movement", "collection", "command-and-control", "exfiltration", "impact",
    "actions-on-objectives",
)  # fmt: skip
UNASSIGNED = ""
TACTIC_IDS = {
    "ta0043": "reconnaissance", "ta0042": "resource-development", "ta0001": "initial-access", "ta0002": "execution",
    "ta0003": "persistence", "ta0004": "privilege-escalation", "ta0005": "defense-evasion",
    "ta0006": "credential-access", "ta0007": "discovery", "ta0008": "lateral-movement", "ta0009": "collection",
    "ta0011": "command-and-control", "ta0010": "exfiltration", "ta0040": "impact",
}  # fmt: skip
OTHER_SPELLINGS = {"defence-evasion": "defense-evasion", "c2": "command-and-control", "weaponisation": "weaponization"}
PHASE_FIELDS = (
    "tactic", "killchain_phase", "kill_chain_phase", "mitre_tactic", "phase", "tactics", "kill_chain_phases",
)  # fmt: skip

# If an event has several of these, the first with a time zone counts, else the first that can be read. The time at
# which a collector received it (`@timestamp`) is used last.
TIME_FIELDS = ("UtcTime", "datetime", "timestamp", "eventTime", "EventTime", "@timestamp")
IN_UTC_BY_NAME = "UtcTime"
COLLECTED_FIELDS = ("collected_at", *TIME_FIELDS)  # of an artifact

# The fields that name a machine or an account, in a record or in a part of it that keeps the source's own fields.
PARTS = (
    "raw_data", "metadata", "EventData", "System", "Event", "event_data", "winlog", "host", "user", "agent", "source",
    "destination", "process", "_source", "data",
)  # fmt: skip
HOST_FIELDS = frozenset({
    "host", "hostname", "host_name", "computer", "computer_name", "computername", "source_host", "target_host",
    "workstationname", "agent_name", "device_name", "devicename", "endpoint", "fqdn", "destinationhostname",
    "sourcehostname", "hosts",
})  # fmt: skip
NAME_IN_PART = {"host": "host", "agent": "host", "user": "user"}  # as in {"host": {"name": "DC01"}}
ACCOUNT_FIELDS = frozenset({
    "user", "username", "user_name", "account", "account_name", "accountname", "targetusername", "subjectusername",
    "src_user", "dst_user", "sourceuser", "destinationuser", "samaccountname", "userprincipalname", "upn", "actor",
    "accounts",
})  # fmt: skip
NOBODY = frozenset({"", "-", "n/a", "none", "null", "unknown", "(null)", "*", "any"})
MOST_NAMES = 8  # hosts or accounts of one record
DEEPEST_PART = 3

LISTED_CHARS = 200
RECORD_CHARS = 32_768


@dataclass(frozen=True, slots=True)
class Point:
    """One record for the drawing, the lists and the search; texts are shortened, the full record is in the evidence.

    Attributes:
        at_us: microseconds since 1970 in UTC; `UNDATED` if its time cannot be read.
        time: the time as written in the record; if several times differ, all with their names, the used one first.
        phase: one of `PHASES`, or `UNASSIGNED`.
        severity: 0 (unrated) to 5 (critical).
        rated: the severity as the source writes it.
        what: the title, the type of alert, or the name of the artifact.
        technique: ATT&CK technique, id and name.
        hosts: the machines that it names, in lower case, without addresses.
        accounts: the accounts that it names, in lower case.
        source: the source host or address.
        target: the target host or address.
        record: its canonical JSON, cut at `RECORD_CHARS`.
        terms: its words as a `tsvector`.
    """

    at_us: int
    time: str
    phase: str
    severity: int
    rated: str
    what: str
    technique: str
    hosts: list[str]
    accounts: list[str]
    source: str
    target: str
    record: str
    terms: str


def point_of(record: dict[str, Any], line: str, kind: str = EVENT, rules: Rules = NO_RULES) -> Point:
    """Read one record.

    Args:
        record: the record.
        line: its canonical JSON.
        kind: `EVENT`, `ALERT` or `ARTIFACT`.
        rules: how its source writes severities and times.
    """
    metadata = record.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    named = ("name", "title") if kind == ARTIFACT else ("title", "alert_type", "type", "name", "description")
    if kind == EVENT:
        named = ("alert_type", *named)
    at_us, time = time_of(record, COLLECTED_FIELDS if kind == ARTIFACT else TIME_FIELDS, rules)
    rated = severities.read(record, rules.scale)
    hosts, accounts = names_in(record)
    return Point(
        at_us=at_us,
        time=time,
        phase=_phase(_stated_phase(record, metadata)),
        severity=rated.rank,
        rated=rated.text,
        what=listed(next((record[name] for name in named if record.get(name)), None)),
        technique=_technique(record, metadata),
        hosts=hosts,
        accounts=accounts,
        source=listed(record.get("source_host" if kind == ARTIFACT else "source")),
        target=listed(record.get("target")),
        record=line[:RECORD_CHARS],
        terms=terms.terms_of(record),
    )


def names_in(record: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The hosts and the accounts that a record names in fields known to hold them, in lower case, at most eight each.

    An address is not a host, and the name of a machine's own account (`HOST$`) stays an account.
    """
    hosts: dict[str, None] = {}
    accounts: dict[str, None] = {}
    for end in (record.get("source"), record.get("target")):
        if isinstance(end, str):
            _add(hosts, end, is_host=True)
    pending: list[tuple[str, dict[str, Any], int]] = [("", record, 0)]
    while pending:
        part_name, part, depth = pending.pop()
        for name, value in part.items():
            lower = name.lower()
            if isinstance(value, dict):
                if name in PARTS and depth < DEEPEST_PART:
                    pending.append((lower, value, depth + 1))
                continue
            if lower == "name":
                lower = NAME_IN_PART.get(part_name, "")
            if lower not in HOST_FIELDS and lower not in ACCOUNT_FIELDS:
                continue
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    _add(hosts if lower in HOST_FIELDS else accounts, text, is_host=lower in HOST_FIELDS)
    return list(hosts)[:MOST_NAMES], list(accounts)[:MOST_NAMES]


def _add(names: dict[str, None], value: str, *, is_host: bool = False) -> None:
    name = listed(value.strip()).lower()
    if name not in NOBODY and not (is_host and is_address(name)):
        names[name] = None


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address."""
    if not text or not (text[0].isdigit() or ":" in text):
        return False
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def time_of(record: dict[str, Any], names: tuple[str, ...] = TIME_FIELDS, rules: Rules = NO_RULES) -> tuple[int, str]:
    """The `at_us` and `time` of the record's `Point`, from the fields of these names."""
    fields = _time_fields(record, names, rules)
    if not fields:
        return UNDATED, ""
    chosen, *others = fields
    differing = [one for one in others if one.at_us != chosen.at_us or one.at_us == UNDATED]
    if not differing:
        return chosen.at_us, chosen.text
    return chosen.at_us, "; ".join(f"{one.name} {one.text}" for one in (chosen, *differing))[:LISTED_CHARS]


def time_field(record: dict[str, Any], names: tuple[str, ...] = TIME_FIELDS) -> str:
    """The name of the field that `time_of` reads; empty if there is none."""
    fields = _time_fields(record, names, NO_RULES)
    return fields[0].name if fields else ""


def _time_fields(record: dict[str, Any], names: tuple[str, ...], rules: Rules) -> list[_TimeField]:
    """The record's fields of these names that are not empty, the one that counts first."""
    fields = [_TimeField(name, record[name], rules) for name in names if name in record]
    fields = [one for one in fields if not one.is_empty] or fields[:1]
    return sorted(fields, key=lambda one: (one.at_us == UNDATED, not one.has_zone))


class _TimeField:
    """The time in one field of an event."""

    def __init__(self, name: str, value: Any, rules: Rules) -> None:
        self.name = name
        self.is_empty = value is None or (isinstance(value, str) and not value.strip())
        zone = None if name == IN_UTC_BY_NAME else rules.zone
        self.at_us, has_zone = read(value, zone=zone, per_second=rules.per_second)
        self.has_zone = has_zone or name == IN_UTC_BY_NAME
        if self.is_empty or isinstance(value, bool):
            self.text = listed(json.dumps(value))  # shows null, true or "" as written
        else:
            self.text = listed(value if isinstance(value, str | list | dict) else str(value))


def listed(value: Any) -> str:
    """A field as a short line of text, without characters that a database column cannot store."""
    if value is None:
        return ""
    if isinstance(value, str) and value.isprintable():
        return value[:LISTED_CHARS]
    text = value if isinstance(value, str) else canonical_json(value).decode("ascii")
    return shortened(text, LISTED_CHARS)


def _technique(event: dict[str, Any], metadata: dict[str, Any]) -> str:
    identifier = event.get("mitre_technique") or metadata.get("mitre_technique") or metadata.get("technique")
    return listed(" ".join(listed(part) for part in (identifier, metadata.get("technique_name")) if part))


def _stated_phase(event: dict[str, Any], metadata: dict[str, Any]) -> Any:
    return next((part[name] for name in PHASE_FIELDS for part in (metadata, event) if part.get(name)), None)


def _phase(stated: Any) -> str:
    for word in stated if isinstance(stated, list) else [stated]:
        name = (word.get("phase_name") or word.get("name") or word.get("id")) if isinstance(word, dict) else word
        if not isinstance(name, str):
            continue
        spelled = "-".join(name[:LISTED_CHARS].lower().replace("_", " ").replace("-", " ").split())
        spelled = OTHER_SPELLINGS.get(spelled, TACTIC_IDS.get(spelled, spelled))
        if spelled in PHASES:
            return spelled
    return UNASSIGNED
