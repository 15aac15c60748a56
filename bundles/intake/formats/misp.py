"""MISP: exported events, alone or in lists, with their attributes, objects and attachments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bundles.intake.formats import shapes
from bundles.intake.formats.kind import TIMELINE, Json, Kind, Taken, at, text
from bundles.intake.formats.shapes import ARRAY, OBJECT, Look, Open, Row
from bundles.sources.jsonstream import JsonStream, Refused

EVENT, RESPONSE, ATTRIBUTE, OBJECTS = "Event", "response", "Attribute", "Object"
_OF_AN_EVENT = frozenset({"uuid", "info", "Orgc", "analysis", ATTRIBUTE})
SHOWN = ("uuid", "info", "threat_level_id")
_CLUSTER = re.compile(r'misp-galaxy:mitre-attack-pattern="(?P<name>.+) - (?P<id>T\d{4}(?:\.\d{3})?)"', re.ASCII)
_VALUE = re.compile(r"(?P<name>.+) - (?P<id>T\d{4}(?:\.\d{3})?)", re.ASCII)
_KILL_CHAIN = re.compile(r'kill-chain:"?(?P<phase>[^"]+)"?')


def _misp(open_file: Open, found: Look) -> Iterator[Taken | Refused]:
    """Each event itself, then its attributes and those of its objects, in the order of the file.

    An attribute carries its event's id, name and threat level, which rate it, and the name of its object. These may be
    behind the attributes in the file, so the file is read twice.
    """
    about = [_fields(stream) for stream in _events(open_file, found)]
    position = 0
    for number, stream in enumerate(_events(open_file, found)):
        event = about[number]
        position += 1
        title = {"title": text("MISP event:", event.get("info"))}
        yield _taken({**title, **_attack(event)}, event, position)
        shown = {name: event[name] for name in SHOWN if name in event}
        for attribute, of in _attributes(stream):
            if isinstance(attribute, Refused):
                yield attribute
                continue
            position += 1
            added: Json = {"title": _title(attribute), EVENT: shown, **_attack(attribute)}
            yield _taken({**added, OBJECTS: of} if of else added, attribute, position)


def _taken(added: Json, record: Json, position: int) -> Taken:
    filled = {name: value for name, value in added.items() if value not in ("", [])}
    return Taken(part=TIMELINE, record={**filled, **record}, row=Row(record=record, position=position))


def _events(open_file: Open, found: Look) -> Iterator[JsonStream]:
    """A stream, each time in front of the object of an event; it must be read before the next one is asked for."""
    stream = JsonStream(open_file())
    if found.shape == ARRAY:
        yield from _listed(stream)
    else:
        yield from _wrapped(stream)
    stream.end()


def _listed(stream: JsonStream) -> Iterator[JsonStream]:
    for _ in stream.items():
        yield from _wrapped(stream)


def _wrapped(stream: JsonStream) -> Iterator[JsonStream]:
    for key in stream.members():
        if key == EVENT:
            yield stream
        elif key == RESPONSE and stream.peek() == "[":
            yield from _listed(stream)
        elif key == RESPONSE and stream.peek() == "{":
            yield from _wrapped(stream)
        else:
            stream.value(shapes.RECORD_CHARACTERS)


def _fields(stream: JsonStream) -> Json:
    """The fields of an event without its attributes and objects."""
    about: Json = {}
    for key in stream.members():
        if key in {ATTRIBUTE, OBJECTS} and stream.peek() == "[":
            for _ in stream.records(shapes.RECORD_CHARACTERS):
                pass
        else:
            about[key] = stream.value(shapes.RECORD_CHARACTERS)
    return about


def _attributes(stream: JsonStream) -> Iterator[tuple[Json | Refused, Json]]:
    """The attributes of an event, each with the id and name of its object; empty for one that has none."""
    for key in stream.members():
        if key not in {ATTRIBUTE, OBJECTS} or stream.peek() != "[":
            stream.value(shapes.RECORD_CHARACTERS)
            continue
        for record in stream.records(shapes.RECORD_CHARACTERS):
            if isinstance(record, Refused):
                yield record, {}
            elif not isinstance(record, dict):
                yield stream.refused(record, "it is not an object"), {}
            elif key == ATTRIBUTE:
                yield record, {}
            else:
                of = {name: record[name] for name in ("uuid", "name") if name in record}
                inner = record.get(ATTRIBUTE)
                for attribute in inner if isinstance(inner, list) else []:
                    good = isinstance(attribute, dict)
                    yield (attribute, of) if good else (stream.refused(record, "an attribute is not an object"), of)


def _title(attribute: Json) -> str:
    return text(attribute.get("category"), text(attribute.get("type"), attribute.get("value")), join=": ")


def _attack(record: Json) -> Json:
    """Tactics and the first technique that the record's own galaxies and tags name."""
    tactics: list[str] = []
    technique = ""
    for galaxy in _dicts(record.get("Galaxy")):
        for cluster in _dicts(galaxy.get("GalaxyCluster")):
            chain = at(cluster, "meta", "kill_chain")
            tactics += [one.rpartition(":")[2] for one in (chain if isinstance(chain, list) else []) if _is_text(one)]
            named = _VALUE.fullmatch(str(cluster.get("value", "")))
            if named is not None and "attack-pattern" in str(galaxy.get("type", "")):
                technique = technique or f"{named['id']} {named['name']}"
    for tag in _dicts(record.get("Tag")):
        name = str(tag.get("name", ""))
        if (pattern := _CLUSTER.fullmatch(name)) is not None:
            technique = technique or f"{pattern['id']} {pattern['name']}"
        if (phase := _KILL_CHAIN.fullmatch(name)) is not None:
            tactics.append(phase["phase"])
    return {"tactics": tactics, "mitre_technique": technique}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _dicts(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _attachment(record: Json) -> tuple[str, str] | None:
    """The file that an attribute holds. A sample of malware is a zip that MISP encrypts with the word `infected`."""
    data, kind = record.get("data"), record.get("type")
    if not isinstance(data, str) or not data or kind not in {"attachment", "malware-sample"}:
        return None
    name = str(record.get("value") or "attachment")
    return (f"{name.partition('|')[0]}.zip" if kind == "malware-sample" else name), data


def _matches(found: Look) -> bool:
    if found.shape == ARRAY:
        return bool(_OF_AN_EVENT & set(found.inner.get(EVENT, ())))
    if found.shape != OBJECT:
        return False
    if _OF_AN_EVENT & set(found.inner.get(EVENT, ())):
        return True
    return EVENT in found.inner.get(RESPONSE, ())


KINDS = (Kind(name="misp", title="MISP event", matches=_matches, read=_misp, attachment=_attachment),)
