"""Reads the severity of a record as its kind of source writes it.

A word is read wherever it comes from. A bare number has no meaning without its source: 1 is the highest level of
Suricata and the lowest of TheHive. A number therefore counts only beside the fields that name its scale; every other
one stays unrated. `docs/timelines.md` lists the scales with their sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from foundation.storable_text import shortened

UNRATED, INFO, LOW, MEDIUM, HIGH, CRITICAL = range(6)
SEVERITIES = ("unrated", "info", "low", "medium", "high", "critical")
WORDS = {
    **{word: rank for rank, word in enumerate(SEVERITIES) if rank},
    "informational": INFO, "information": INFO, "notice": INFO, "debug": INFO, "verbose": INFO, "none": INFO,
    "minor": LOW,
    "moderate": MEDIUM, "med": MEDIUM, "warning": MEDIUM, "warn": MEDIUM,
    "major": HIGH, "important": HIGH, "severe": HIGH, "error": HIGH, "err": HIGH,
    "crit": CRITICAL, "alert": CRITICAL, "emergency": CRITICAL, "emerg": CRITICAL, "emer": CRITICAL, "fatal": CRITICAL,
}  # fmt: skip
LISTED_CHARS = 60
BARE_FIELDS = ("severity", "level", "Level", "priority", "Severity")

# The parts of a record in which a source's own fields are kept when an alert was converted to the common form.
ORIGINAL_PARTS = ("raw_data", "raw", "_source", "metadata")


@dataclass(frozen=True)
class Rated:
    """A severity: its rank, 0 (unrated) to 5 (critical), and the text that the record has for it, empty for none."""

    rank: int
    text: str


@dataclass(frozen=True)
class Scale:
    """How one kind of source rates.

    Attributes:
        name: shown before the number.
        path: the fields, from outside to inside, that hold the number.
        rank: number → severity; `UNRATED` outside the scale.
        requires: a field that must be in the record as well, where the path alone would be ambiguous.
    """

    name: str
    path: tuple[str, ...]
    rank: Callable[[float], int]
    requires: tuple[str, ...] = ()


def _steps(*bounds: tuple[float, int], most: float) -> Callable[[float], int]:
    """A rising scale: the rank of the highest bound that the number reaches; `UNRATED` above `most` or below all."""

    def rank(value: float) -> int:
        return max((rank for least, rank in bounds if value >= least), default=UNRATED) if value <= most else UNRATED

    return rank


def _exact(ranks: dict[int, int]) -> Callable[[float], int]:
    return lambda value: ranks.get(int(value), UNRATED) if value == int(value) else UNRATED


_CVSS = _steps((0, INFO), (0.1, LOW), (4, MEDIUM), (7, HIGH), (9, CRITICAL), most=10)
_WINDOWS = _exact({0: INFO, 1: CRITICAL, 2: HIGH, 3: MEDIUM, 4: INFO, 5: INFO})
_SYSLOG = _exact({0: CRITICAL, 1: CRITICAL, 2: CRITICAL, 3: HIGH, 4: MEDIUM, 5: INFO, 6: INFO, 7: INFO})
_THE_HIVE = _exact({1: LOW, 2: MEDIUM, 3: HIGH, 4: CRITICAL})

SCALES = (
    Scale("Suricata", ("alert", "severity"), _exact({1: HIGH, 2: MEDIUM, 3: LOW, 4: INFO})),
    Scale("Wazuh", ("rule", "level"), _steps((0, INFO), (4, LOW), (7, MEDIUM), (12, HIGH), (15, CRITICAL), most=16)),
    Scale("MISP", ("threat_level_id",), _exact({1: HIGH, 2: MEDIUM, 3: LOW, 4: UNRATED})),
    Scale("MISP", ("Event", "threat_level_id"), _exact({1: HIGH, 2: MEDIUM, 3: LOW, 4: UNRATED})),
    Scale("CVSS", ("cvss",), _CVSS),
    Scale("CVSS", ("cvss_score",), _CVSS),
    Scale("CVSS", ("cvss", "score"), _CVSS),
    Scale("CVSS", ("cvss", "base_score"), _CVSS),
    Scale("CVSS", ("vulnerability", "score", "base"), _CVSS),
    Scale("Windows", ("Level",), _WINDOWS, requires=("EventID",)),
    Scale("Windows", ("event_level",), _WINDOWS, requires=("event_identifier",)),
    Scale("Windows", ("System", "Level"), _WINDOWS),
    Scale("Windows", ("Event", "System", "Level"), _WINDOWS),
    Scale("Syslog", ("syslog_severity",), _SYSLOG),
    Scale("Syslog", ("log", "syslog", "severity", "code"), _SYSLOG),
    Scale("GuardDuty", ("severity",), _steps((0.1, LOW), (4, MEDIUM), (7, HIGH), (9, CRITICAL), most=10),
          requires=("service", "detectorId")),
    Scale("GuardDuty", ("Severity",), _steps((0.1, LOW), (4, MEDIUM), (7, HIGH), (9, CRITICAL), most=10),
          requires=("Service", "DetectorId")),
    Scale("TheHive", ("severity",), _THE_HIVE, requires=("pap",)),
    Scale("TheHive", ("severity",), _THE_HIVE, requires=("caseId",)),
    Scale("CEF", ("cef_severity",), _steps((0, LOW), (4, MEDIUM), (7, HIGH), (9, CRITICAL), most=10)),
)  # fmt: skip
_FIRST_FIELDS = {scale.path[0] for scale in SCALES}


def read(record: dict[str, Any], scale: Scale | None = None) -> Rated:
    """Read the severity of an event or alert.

    The word in `severity` counts first, then a number whose scale is known, in the record or in the part that keeps the
    source's own fields, then a word elsewhere (`level`, `priority`), then a bare number in one of these fields.

    Args:
        record: the record.
        scale: by which a bare number is read; without one it stays unrated.
    """
    stated = record.get("severity")
    if isinstance(stated, dict):  # as DFIR-IRIS writes it
        stated = stated.get("severity_name", stated)
    if rank := _word(stated):
        return Rated(rank, _listed(stated))
    parts = [record, *(part for name in ORIGINAL_PARTS if isinstance(part := record.get(name), dict))]
    for part in parts:
        for known, value in _scales_in(part):
            return Rated(known.rank(value), f"{known.name} {_listed(_at(part, known.path))}")
    for part in parts:
        for name in BARE_FIELDS:
            if rank := _word(part.get(name)):
                return Rated(rank, _listed(part[name]))
    for part in parts if scale is not None else ():
        for name in BARE_FIELDS:
            if scale is not None and (number := _number(part.get(name))) is not None:
                return Rated(scale.rank(number), f"{scale.name} {_listed(part[name])}")
    return Rated(UNRATED, _listed(stated))


def _word(value: Any) -> int:
    return WORDS.get(value.strip().lower(), UNRATED) if isinstance(value, str) else UNRATED


def _scales_in(part: dict[str, Any]) -> Iterator[tuple[Scale, float]]:
    """The scales that fit the part's fields, each with the number."""
    if _FIRST_FIELDS.isdisjoint(part):
        return
    for scale in SCALES:
        number = _number(_at(part, scale.path))
        if number is not None and (not scale.requires or _at(part, scale.requires) is not None):
            yield scale, number


def _at(part: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        part = part.get(name) if isinstance(part, dict) else None
    return part


def _number(value: Any) -> float | None:
    """A JSON number, or its digits as text."""
    if value is None or isinstance(value, bool | list | dict):
        return None
    text = str(value).strip()
    if not text.isascii() or len(text) > 8 or not text.replace(".", "", 1).isdigit():
        return None
    return float(text)


def _listed(value: Any) -> str:
    if value is None:
        return ""
    return shortened(str(value), LISTED_CHARS)
