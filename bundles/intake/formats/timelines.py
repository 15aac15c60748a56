"""Timelines: plaso, Timesketch, l2t CSV, body files, and the export of a case of DFIR-IRIS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta

from bundles.intake.formats.kind import Json, Kind, by_time, columns, either, has, text
from bundles.intake.formats.shapes import ARRAY, BODY_COLUMNS, CSV, LINES, OBJECT, SEQUENCE, Look
from bundles.sources.adapters.dfir_iris import index_keys
from bundles.timelines import times


def _described(record: Json) -> Json:
    return {"title": text(record.get("timestamp_desc"), record.get("message"), join=": ")}


def _plaso(record: Json) -> Json:
    return {**_described(record), "datetime": _outside_of_counts(record.get("timestamp"))}


def _outside_of_counts(value: object) -> str:
    """Microseconds since 1970 that the console does not read as a number, in ISO; empty for 0, plaso's "not set"."""
    said = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,18}", said, re.ASCII) or int(said) == 0:
        return ""
    if times.read(value)[0] != times.UNDATED:
        return ""
    try:
        return (times.EPOCH + timedelta(microseconds=int(said))).isoformat()
    except OverflowError:
        return ""


def _is_timesketch(found: Look) -> bool:
    names = {name.strip() for name in found.columns} if found.shape == CSV else found.first_keys
    return (
        found.shape in {CSV, LINES, ARRAY, SEQUENCE}
        and {"message", "timestamp_desc"} <= names
        and bool(names & {"datetime", "timestamp"})
    )


_L2T_DAY = re.compile(r"(\d\d)/(\d\d)/(\d{4})", re.ASCII)


def _l2t(record: Json) -> Json:
    """The format says month/day/year; only times in UTC are read."""
    day = _L2T_DAY.fullmatch(str(record.get("date", "")))
    stated = f"{day[3]}-{day[1]}-{day[2]}T{record.get('time')}Z" if day and record.get("timezone") == "UTC" else ""
    return {"timestamp": stated, "title": text(record.get("type"), record.get("desc"), join=": ")}


_BODY_TIMES = (("modified", "mtime"), ("accessed", "atime"), ("changed", "ctime"), ("created", "crtime"))


def _body(record: Json) -> Iterable[Json]:
    stated = ((word, record.get(name)) for word, name in _BODY_TIMES)
    return by_time(((word, value) for word, value in stated if value not in ("0", "-1")), text(record.get("name")))


_ASSET = re.compile(r"(?P<name>.+) \((?P<type>[^()]*(?:\([^()]*\))?[^()]*)\)")


def _iris(record: Json) -> Json:
    """The keys that an event of DFIR-IRIS gets when it is read from the service, made of the export's texts."""
    assets = record.get("assets")
    named = [_ASSET.fullmatch(one) for one in (assets if isinstance(assets, list) else []) if isinstance(one, str)]
    event = {**record, "category_name": record.get("category")}
    return index_keys.of_event(event, [(one["name"], one["type"]) for one in named if one]) | {"category_name": None}


def _is_case(names: Iterable[str]) -> bool:
    """The export writes the case, then its evidences, then its timeline."""
    found = set(names)
    return "case" in found and bool(found & {"timeline", "evidences"})


def _iris_within(found: Look) -> tuple[str, ...]:
    return ("timeline",) if _is_case(found.keys) else ("data", "timeline")


KINDS = (
    Kind(
        name="plaso",
        title="plaso json_line",
        matches=either(has("__container_type__", "data_type", "timestamp"), has("__type__", "data_type", "timestamp")),
        add=_plaso,
    ),
    Kind(name="timesketch", title="Timesketch CSV or JSON lines", matches=_is_timesketch, add=_described),
    Kind(
        name="l2t-csv",
        title="log2timeline CSV",
        matches=columns("date", "time", "timezone", "MACB", "sourcetype", "type", "desc"),
        add=_l2t,
    ),
    Kind(
        name="bodyfile",
        title="Body file",
        matches=lambda found: found.shape == CSV and found.columns == BODY_COLUMNS,
        each=_body,
    ),
    Kind(
        name="iris-export",
        title="DFIR-IRIS case export",
        matches=lambda found: found.shape == OBJECT and (_is_case(found.keys) or _is_case(found.inner.get("data", ()))),
        add=_iris,
        within=_iris_within,
    ),
)
