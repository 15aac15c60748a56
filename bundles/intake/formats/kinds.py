"""The kinds of files whose records become events and alerts, each with how it is recognised and read.

A file is recognised by the keys of its first record, never by its name. A record goes in with its own fields; what the
console needs and the record has under another name is added under ours, where the record has no such field itself.
`docs/import.md` lists the kinds, with what is read and what is not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bundles.intake.formats import shapes
from bundles.intake.formats.shapes import ARRAY, CSV, LINES, OBJECT, Look, Open, Row
from bundles.sources.jsonstream import JsonStream, Refused

TIMELINE, ALERTS = "timeline", "alerts"
RECORDS = frozenset({ARRAY, OBJECT, LINES})
TITLE_CHARACTERS = 500

Json = dict[str, Any]


class Taken(NamedTuple):
    """A record as it goes into the timeline or the alerts, without the note on where it came from.

    Attributes:
        part: `TIMELINE` or `ALERTS`.
        record: its own fields and those that were added.
        row: where it is in the file.
    """

    part: str
    record: Json
    row: Row


def never(_record: Json) -> bool:
    """No record is an alert."""
    return False


def always(_record: Json) -> bool:
    """Every record is an alert."""
    return True


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file.

    Attributes:
        name: in the manifest and the API.
        title: for people.
        matches: whether a file that was looked at is of this kind.
        add: the fields to add to a record; those that it has itself are not replaced.
        alert: whether a record is an alert; otherwise it is an event.
        within: the keys that lead to the records in a file of one object, by the file's keys.
        read: reads the whole file where its records are not simply a list.
    """

    name: str
    title: str
    matches: Callable[[Look], bool]
    add: Callable[[Json], Json] = lambda _: {}
    alert: Callable[[Json], bool] = never
    within: Callable[[Look], tuple[str, ...]] = lambda _: ()
    read: Callable[[Open, Look], Iterator[Taken | Refused]] | None = None

    @property
    def parts(self) -> frozenset[str]:
        """Where its records can go, so that a file is not read for a part that it has nothing for."""
        if self.read is None and self.alert in {never, always}:
            return frozenset({ALERTS if self.alert is always else TIMELINE})
        return frozenset({TIMELINE, ALERTS})

    def records(self, open_file: Open, found: Look) -> Iterator[Taken | Refused]:
        """Every record of the file.

        Raises:
            bundles.sources.jsonstream.MalformedError: the file cannot be read on.
        """
        if self.read is not None:
            yield from self.read(open_file, found)
            return
        for row in shapes.rows(open_file, found, within=self.within(found)):
            yield row if isinstance(row, Refused) else self.taken(row)

    def taken(self, row: Row) -> Taken:
        """One record with what is added to it."""
        added = {name: value for name, value in self.add(row.record).items() if value is not None and value != ""}
        part = ALERTS if self.alert(row.record) else TIMELINE
        return Taken(part, {**added, **row.record}, row)


def recognise(found: Look) -> Kind | None:
    """The kind of a file that was looked at; None if its records are not understood."""
    return next((kind for kind in KINDS if kind.matches(found)), None)


def by_name(name: str) -> Kind | None:
    """The kind of that name."""
    return next((kind for kind in KINDS if kind.name == name), None)


MAPPED_TO = ("timestamp", "title", "severity", "tactic", "technique", "host", "user", "source", "target")


def mapped(mapping: Mapping[str, str]) -> Kind:
    """A kind for a file that is not known, whose fields somebody has named.

    Args:
        mapping: one of `MAPPED_TO` → the field or column that holds it.
    """
    return Kind(
        name="mapped",
        title="Records by a mapping",
        matches=lambda found: found.shape != shapes.NONE,
        add=lambda record: {ours: record.get(theirs) for ours, theirs in mapping.items() if ours in MAPPED_TO},
    )


def at(record: Mapping[str, Any], *path: str) -> Any:
    """The value at a path of keys; None where there is none."""
    value: Any = record
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


_PLAIN = (str, int, float)


def text(*values: Any, join: str = " ") -> str:
    """The values that are text or numbers, joined and shortened."""
    said = [str(value) for value in values if isinstance(value, _PLAIN) and str(value).strip()]
    return join.join(said)[:TITLE_CHARACTERS]


def has(*names: str) -> Callable[[Look], bool]:
    """Whether the first record has all these fields."""
    return lambda found: found.shape in RECORDS and set(names) <= found.first.keys()


def columns(*names: str) -> Callable[[Look], bool]:
    """Whether a CSV file has all these columns."""
    return lambda found: found.shape == CSV and set(names) <= {name.strip() for name in found.columns}


def either(*rules: Callable[[Look], bool]) -> Callable[[Look], bool]:
    """Whether one of the rules holds."""
    return lambda found: any(rule(found) for rule in rules)


# --- Suricata eve.json ---


def _suricata(record: Json) -> Json:
    return {
        "title": text(at(record, "alert", "signature")) or text("Suricata", record.get("event_type")),
        "source": text(record.get("src_ip")),
        "target": text(record.get("dest_ip")),
    }


# --- AWS CloudTrail ---


def _cloudtrail(record: Json) -> Json:
    failed = text(record.get("errorCode"))
    return {
        "title": text(record.get("eventName")) + (f" ({failed})" if failed else ""),
        "actor": text(at(record, "userIdentity", "userName") or at(record, "userIdentity", "arn")),
        "source": _address(record.get("sourceIPAddress")),
    }


def _address(value: Any) -> str:
    """The value if it is an IP address; CloudTrail writes the names of services here, too."""
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else ""
    except ValueError:
        return ""


def _cloudtrail_within(found: Look) -> tuple[str, ...]:
    return ("Records",) if "Records" in found.keys else ()


# --- MISP ---


def _misp(open_file: Open, _found: Look) -> Iterator[Taken | Refused]:
    """The event itself, then each attribute, of the event and of its objects, in the order of the file.

    An attribute carries the event's id, name and threat level, which rate it, and the name of its object.
    """
    about = _misp_event(open_file)
    position = 1
    shown = {name: about[name] for name in ("uuid", "info", "threat_level_id") if name in about}
    event = {"title": text("MISP event:", about.get("info")), **about}
    yield Taken(part=TIMELINE, record=event, row=Row(record=about, position=1))
    for path, where in ((("Event", "Attribute"), None), (("Event", "Object"), "Attribute")):
        for row in shapes.rows(open_file, Look(shape=OBJECT), within=path):
            if isinstance(row, Refused):
                yield row
                continue
            inner = row.record.get(where) if where else [row.record]
            kept = {key: value for key, value in row.record.items() if key != where} if where else {}
            for attribute in inner if isinstance(inner, list) else []:
                if not isinstance(attribute, dict):
                    continue
                position += 1
                record: Json = {"title": _misp_title(attribute), "Event": shown}
                record |= {"Object": {name: kept[name] for name in ("uuid", "name") if name in kept}} if kept else {}
                yield Taken(part=TIMELINE, record={**record, **attribute}, row=Row(record=attribute, position=position))


def _misp_event(open_file: Open) -> Json:
    """The fields of the event that are no lists."""
    about: Json = {}
    stream = JsonStream(open_file())
    for outer in stream.members():
        if outer != "Event":
            stream.value(shapes.RECORD_CHARACTERS)
            continue
        for key in stream.members():
            if key in {"Attribute", "Object"} and stream.peek() == "[":
                for _ in stream.records(shapes.RECORD_CHARACTERS):
                    pass
            else:
                about[key] = stream.value(shapes.RECORD_CHARACTERS)
    return about


def _misp_title(attribute: Json) -> str:
    return text(attribute.get("category"), text(attribute.get("type"), attribute.get("value"), join=" "), join=": ")


# --- plaso and Timesketch ---


def _described(record: Json) -> Json:
    return {"title": text(record.get("timestamp_desc"), record.get("message"), join=": ")}


def _is_timesketch(found: Look) -> bool:
    names = {name.strip() for name in found.columns} if found.shape == CSV else found.first.keys()
    return (
        (found.shape in {CSV, LINES, ARRAY})
        and {"message", "timestamp_desc"} <= names
        and bool(names & {"datetime", "timestamp"})
    )


# --- Sigma: Hayabusa, Chainsaw, Zircolite ---

# The abbreviations of Hayabusa's column MitreTactics.
HAYABUSA_TACTICS = {
    "Recon": "reconnaissance", "ResDev": "resource-development", "InitAccess": "initial-access", "Exec": "execution",
    "Persis": "persistence", "PrivEsc": "privilege-escalation", "Evas": "defense-evasion",
    "Stealth": "defense-evasion", "CredAccess": "credential-access", "Disc": "discovery", "LatMov": "lateral-movement",
    "Collect": "collection", "C2": "command-and-control", "Exfil": "exfiltration", "Impact": "impact",
}  # fmt: skip
HAYABUSA_SEPARATORS = "¦|,"


def _hayabusa(record: Json) -> Json:
    tactics = record.get("MitreTactics") or ""
    named = _split(tactics)
    known = [HAYABUSA_TACTICS[one] for one in named if one in HAYABUSA_TACTICS]
    return {
        "title": text(record.get("RuleTitle")),
        "timestamp": record.get("Timestamp"),
        "severity": record.get("Level"),
        "tactics": known or None,
    }


def _split(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(one).strip() for one in value]
    said = str(value)
    for separator in HAYABUSA_SEPARATORS:
        said = said.replace(separator, "\0")
    return [one.strip() for one in said.split("\0") if one.strip()]


def _chainsaw(record: Json) -> Json:
    document = record.get("document")
    return {
        "title": text(record.get("name") or record.get("detections")),
        "severity": record.get("level"),
        "tactics": [one.split(".", 1)[1].replace("_", "-") for one in _tags(record)] or None,
        "computer": text(at(document, "data", "Event", "System", "Computer") if isinstance(document, dict) else None),
    }


def _tags(record: Json) -> list[str]:
    tags = record.get("tags")
    return [one for one in tags if isinstance(one, str) and one.startswith("attack.")] if isinstance(tags, list) else []


def _sigma(open_file: Open, found: Look) -> Iterator[Taken | Refused]:
    """Zircolite and others write one object a rule, with the events that it matched: each match is an alert."""
    position = 0
    for row in shapes.rows(open_file, found):
        if isinstance(row, Refused):
            yield row
            continue
        rule = {key: value for key, value in row.record.items() if key != "matches"}
        matches = row.record.get("matches")
        for match in matches if isinstance(matches, list) else []:
            if not isinstance(match, dict):
                continue
            position += 1
            record: Json = {
                "title": text(rule.get("title")),
                "severity": rule.get("rule_level") or rule.get("level"),
                "rule": rule,
                "timestamp": match.get("SystemTime") or match.get("UtcTime") or match.get("TimeCreated"),
            }
            tactics = [one.split(".", 1)[1].replace("_", "-") for one in _tags(rule)]
            record |= {"tactics": tactics} if tactics else {}
            record = {name: value for name, value in record.items() if value not in (None, "")}
            yield Taken(
                part=ALERTS, record={**record, **match}, row=Row(record=match, position=position, line=row.line)
            )


# --- DFIR-IRIS case export ---


def _iris(record: Json) -> Json:
    return {
        "title": text(record.get("event_title")),
        "timestamp": record.get("event_date_wtz") or record.get("event_date"),
    }


# --- Velociraptor's own files in a collection ---


def _velociraptor_log(record: Json) -> Json:
    return {"title": text(record.get("message")).strip(), "timestamp": record.get("_ts")}


def _velociraptor_upload(record: Json) -> Json:
    return {
        "title": text("Uploaded", record.get("vfs_path"), f"({record['Type']})" if record.get("Type") else ""),
        "timestamp": record.get("Timestamp"),
    }


KINDS: tuple[Kind, ...] = (
    Kind(
        name="suricata-eve",
        title="Suricata eve.json",
        matches=has("event_type", "timestamp"),
        add=_suricata,
        alert=lambda record: record.get("event_type") == "alert",
    ),
    Kind(
        name="cloudtrail",
        title="AWS CloudTrail",
        matches=either(
            has("eventVersion", "eventSource", "eventName", "eventTime"),
            lambda found: found.shape == OBJECT and found.keys[:1] == ("Records",),
        ),
        add=_cloudtrail,
        within=_cloudtrail_within,
    ),
    Kind(
        name="misp",
        title="MISP event",
        matches=lambda found: found.shape == OBJECT and "Event" in found.keys,
        read=_misp,
    ),
    Kind(
        name="plaso",
        title="plaso json_line",
        matches=has("__container_type__", "data_type", "timestamp", "timestamp_desc"),
        add=_described,
    ),
    Kind(
        name="hayabusa",
        title="Hayabusa results",
        matches=either(has("Timestamp", "RuleTitle", "Level"), columns("Timestamp", "RuleTitle", "Level")),
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
    Kind(name="sigma", title="Sigma matches by rule", matches=has("title", "rule_level", "matches"), read=_sigma),
    Kind(name="timesketch", title="Timesketch CSV or JSON lines", matches=_is_timesketch, add=_described),
    Kind(
        name="iris-export",
        title="DFIR-IRIS case export",
        matches=lambda found: found.shape == OBJECT and {"case", "timeline"} <= set(found.keys),
        add=_iris,
        within=lambda _: ("timeline",),
    ),
    Kind(
        name="velociraptor-log",
        title="Velociraptor collection log",
        matches=has("_ts", "client_time", "level", "message"),
        add=_velociraptor_log,
    ),
    Kind(
        name="velociraptor-uploads",
        title="Velociraptor list of uploads",
        matches=has("vfs_path", "_Components", "file_size", "uploaded_size"),
        add=_velociraptor_upload,
    ),
)
