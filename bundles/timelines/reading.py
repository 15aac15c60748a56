"""Reads the phase, severity, time and description of an event.

Everything comes from the event's own fields. An event without a known phase or severity stays unassigned or unrated;
nothing is guessed from other fields, and no event is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bundles.format.model.canonical import canonical_json
from bundles.timelines.times import UNDATED, read

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

UNRATED, INFO, LOW, MEDIUM, HIGH, CRITICAL = range(6)
SEVERITIES = ("unrated", "info", "low", "medium", "high", "critical")
OTHER_SEVERITY_NAMES = {"informational": INFO, "information": INFO, "moderate": MEDIUM}

# If an event has several of these, the first with a time zone counts, else the first that can be read. The time at
# which a collector received it (`@timestamp`) is used last.
TIME_FIELDS = ("UtcTime", "datetime", "timestamp", "eventTime", "EventTime", "@timestamp")
IN_UTC_BY_NAME = "UtcTime"

LISTED_CHARS = 200
WORDS_CHARS = 1800


@dataclass(frozen=True, slots=True)
class Point:
    """One event for the drawing and the table; texts are shortened, the full event is in the evidence.

    Attributes:
        at_us: microseconds since 1970 in UTC; `UNDATED` if its time cannot be read.
        time: the time as written in the event; if several times differ, all with their names, the used one first.
        phase: one of `PHASES`, or `UNASSIGNED`.
        severity: 0 (unrated) to 5 (critical).
        kind: the type of alert, or the title.
        technique: ATT&CK technique, id and name.
        source: the source host or address.
        target: the target host or address.
        words: search text in lower case: the fields above, and the file and channel of the event.
    """

    at_us: int
    time: str
    phase: str
    severity: int
    kind: str
    technique: str
    source: str
    target: str
    words: str


def point_of(event: dict[str, Any]) -> Point:
    """Read one event."""
    metadata = event.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    kind = listed(event.get("alert_type") or event.get("title") or event.get("type"))
    technique = _technique(event, metadata)
    source, target = listed(event.get("source")), listed(event.get("target"))
    stated = _stated_phase(event, metadata)
    at_us, time = time_of(event)
    words = (kind, technique, source, target, event.get("title"), stated, metadata.get("file"), metadata.get("channel"))
    return Point(
        at_us=at_us,
        time=time,
        phase=_phase(stated),
        severity=severity_of(event.get("severity")),
        kind=kind,
        technique=technique,
        source=source,
        target=target,
        words=" ".join(listed(word) for word in words if word).lower()[:WORDS_CHARS],
    )


def severity_of(value: Any) -> int:
    """The severity named in a record; `UNRATED` if it is not known."""
    if not isinstance(value, str):
        return UNRATED
    word = value.strip().lower()
    return SEVERITIES.index(word) if word in SEVERITIES else OTHER_SEVERITY_NAMES.get(word, UNRATED)


def time_of(event: dict[str, Any]) -> tuple[int, str]:
    """The `at_us` and `time` of the event's `Point`."""
    fields = [_TimeField(name, event[name]) for name in TIME_FIELDS if name in event]
    fields = [one for one in fields if not one.is_empty] or fields[:1]
    if not fields:
        return UNDATED, ""
    fields.sort(key=lambda one: (one.at_us == UNDATED, not one.has_zone))
    chosen, *others = fields
    differing = [one for one in others if one.at_us != chosen.at_us or one.at_us == UNDATED]
    if not differing:
        return chosen.at_us, chosen.text
    return chosen.at_us, "; ".join(f"{one.name} {one.text}" for one in (chosen, *differing))[:LISTED_CHARS]


class _TimeField:
    """The time in one field of an event."""

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.is_empty = value is None or (isinstance(value, str) and not value.strip())
        self.at_us, has_zone = read(value)
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
    return text[:LISTED_CHARS].replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode("utf-8")


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
