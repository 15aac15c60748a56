"""Detections on event logs: Hayabusa, Chainsaw, Zircolite and other lists of matches of Sigma rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bundles.intake.formats import shapes
from bundles.intake.formats.kind import (
    ALERTS,
    TECHNIQUE,
    Json,
    Kind,
    Taken,
    always,
    at,
    attack,
    columns,
    either,
    fields,
    first,
    has,
    text,
)
from bundles.intake.formats.shapes import ARRAY, OBJECT, Look, Open, Row
from bundles.sources.jsonstream import JsonStream, Refused
from bundles.timelines import times

# The abbreviations of Hayabusa's `MitreTactics` (its `config/mitre_tactics.txt`, of this and earlier versions).
HAYABUSA_TACTICS = {
    "Recon": "reconnaissance", "ResDev": "resource-development", "InitAccess": "initial-access", "Exec": "execution",
    "Persis": "persistence", "PrivEsc": "privilege-escalation", "Evas": "defense-evasion",
    "Stealth": "defense-evasion", "DefImpair": "defense-evasion", "CredAccess": "credential-access",
    "Disc": "discovery", "LatMov": "lateral-movement", "Collect": "collection", "C2": "command-and-control",
    "Exfil": "exfiltration", "Impact": "impact",
}  # fmt: skip
HAYABUSA_SEPARATORS = "¦|,:"
# Hayabusa's options `--RFC-2822` and `--US-time`. `--European-time` and `--US-military-time` cannot be told apart.
_WRITTEN_OUT = ("%a, %d %b %Y %H:%M:%S %z", "%m-%d-%Y %I:%M:%S.%f %p %z")


def _hayabusa(record: Json) -> Json:
    tags = _split(record.get("MitreTags"))
    stated = first(record, "Timestamp", "datetime")
    return {
        "title": text(first(record, "RuleTitle", "message")),
        "timestamp": _iso(stated) if "datetime" not in record else None,
        "severity": record.get("Level"),
        "tactics": [HAYABUSA_TACTICS.get(one, one) for one in _split(record.get("MitreTactics"))],
        "mitre_technique": next((one.upper() for one in tags if TECHNIQUE.fullmatch(one)), ""),
    }


def _iso(stated: Any) -> Any:
    """A time that `times` does not read, but that has one meaning only, in ISO; others as they are."""
    if not isinstance(stated, str) or times.read(stated)[0] != times.UNDATED:
        return stated
    for form in _WRITTEN_OUT:
        try:
            return datetime.strptime(" ".join(stated.split()), form).isoformat()  # noqa: DTZ007 -- each form has %z
        except ValueError:
            continue
    return stated


def _split(value: Any) -> list[str]:
    if isinstance(value, list):
        return [one.strip() for one in value if isinstance(one, str)]
    said = value if isinstance(value, str) else ""
    for separator in HAYABUSA_SEPARATORS:
        said = said.replace(separator, "\0")
    return [one.strip() for one in said.split("\0") if one.strip()]


def _chainsaw(record: Json) -> Json:
    document = record.get("document")
    return {
        "title": text(first(record, "name", "detections")),
        "severity": record.get("level"),
        "computer": text(at(document, "data", "Event", "System", "Computer")),
        **attack(record.get("tags")),
    }


def _by_rule(open_file: Open, found: Look) -> Iterator[Taken | Refused]:
    """Zircolite and others write one object a rule, with the events that it matched: each match is an alert.

    The fields of the rule are those in front of its matches.
    """
    if found.shape not in {ARRAY, OBJECT}:
        for row in shapes.rows(open_file, found):
            if isinstance(row, Refused):
                yield row
                continue
            rule = {key: value for key, value in row.record.items() if key != "matches"}
            matches = row.record.get("matches")
            for match in matches if isinstance(matches, list) else []:
                yield _match(rule, match, row)
        return
    stream = JsonStream(open_file())
    position = 0
    for _ in stream.items() if found.shape == ARRAY else (None,):
        rule = {}
        for key in stream.members():
            if key != "matches" or stream.peek() != "[":
                rule[key] = stream.value(shapes.RECORD_CHARACTERS)
                continue
            for match in stream.records(shapes.RECORD_CHARACTERS):
                position += 1
                good = isinstance(match, dict | Refused)
                yield (
                    match
                    if isinstance(match, Refused)
                    else _match(rule, match, Row(record=match, position=position, line=stream.line_of_record))
                    if good
                    else stream.refused(match, "a match is not an object")
                )
    stream.end()


def _match(rule: Json, match: Json, row: Row) -> Taken:
    added: Json = {
        "title": text(rule.get("title")),
        "severity": first(rule, "rule_level", "level"),
        "rule": rule,
        "timestamp": first(match, "SystemTime", "UtcTime", "TimeCreated"),
        **attack(rule.get("tags")),
    }
    filled = {name: value for name, value in added.items() if value not in (None, "", [])}
    return Taken(part=ALERTS, record={**filled, **match}, row=row)


def _zircolite_row(record: Json) -> Json:
    return {
        "title": text(record.get("rule_title")),
        "severity": record.get("rule_level"),
        "timestamp": first(record, "SystemTime", "UtcTime", "TimeCreated"),
    }


# In place of `Timestamp` and `RuleTitle` the profiles for Timesketch have `datetime` and `message`.
_FOR_TIMESKETCH = fields("datetime", "timestamp_desc", "message", "Level", "RuleID", "EvtxFile")

KINDS = (
    Kind(
        name="hayabusa",
        title="Hayabusa results",
        matches=either(fields("Timestamp", "RuleTitle", "Level"), _FOR_TIMESKETCH),
        add=_hayabusa,
        alert=always,
    ),
    Kind(
        name="chainsaw",
        title="Chainsaw results",
        matches=either(has("group", "kind", "name", "timestamp", "level"), columns("timestamp", "detections", "path")),
        add=_chainsaw,
        alert=always,
    ),
    Kind(name="sigma", title="Sigma matches by rule", matches=has("title", "rule_level", "matches"), read=_by_rule),
    Kind(
        name="zircolite-csv",
        title="Zircolite results as CSV",
        matches=columns("rule_title", "rule_level", "rule_count"),
        add=_zircolite_row,
        alert=always,
    ),
)
