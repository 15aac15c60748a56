"""The facts at the top of an incident's page, each with the address of its records."""

from __future__ import annotations

from typing import Any

from bundles.models import Bundle
from bundles.timelines.severities import SEVERITIES
from incidents.summary import IncidentView
from incidents.timeline.drawing import shape_of
from incidents.timeline.filters import EVERYTHING, Filter, moment_at, phase_words

MOMENTS = (
    ("first", "First event"),
    ("first_critical", "First critical event"),
    ("impact", "Impact began"),
    ("last", "Last event"),
)


def of(view: IncidentView) -> dict[str, Any]:
    """What happened first and last, who and what was involved; from the facts that were computed with the index."""
    facts = view.kept.facts if view.kept else {}
    return {
        "moments": [_moment(name, facts[key]) for key, name in MOMENTS if facts.get(key)],
        "hosts": _names(facts.get("hosts"), "host", view),
        "accounts": _names(facts.get("accounts"), "account", view),
    }


def changed(newest: Bundle | None, before: Bundle | None) -> dict[str, Any] | None:
    """What the newest bundle has more or less than the one before it; None if there are not two that were counted."""
    if newest is None or before is None or newest.counts is None or before.counts is None:
        return None
    numbers = [
        (_count(newest.counts.get(name)) - _count(before.counts.get(name)), word)
        for name, word in (("events", "event"), ("alerts", "alert"), ("artifacts", "artifact"))
    ]
    numbers.append((newest.files - before.files, "file"))
    words = [f"{number:+,} {word}{'' if abs(number) == 1 else 's'}" for number, word in numbers if number]
    return {
        "words": ", ".join(words),
        "since": before.created_at,
        "same": newest.content_digest == before.content_digest,
    }


def _count(counted: Any) -> int:
    return sum(counted.values()) if isinstance(counted, dict) else counted or 0


def _moment(name: str, one: dict[str, Any]) -> dict[str, Any]:
    return {
        **one,
        "name": name,
        "at": moment_at(one["at_us"]),
        "phase": phase_words(one["phase"]),
        "severity": SEVERITIES[one["severity"]],
        "shape": shape_of(one["severity"]),
        "what": one["what"].replace("_", " "),
    }


def _names(found: dict[str, Any] | None, field: str, view: IncidentView) -> dict[str, Any]:
    top = found["top"] if found else []
    return {
        "names": found["names"] if found else 0,
        "hints": [name for name, _ in top if name.isprintable()],
        "top": [
            {
                "name": name,
                "records": records,
                "href": Filter(**{field: name}).query(view.origin, EVERYTHING) + "#records",
            }
            for name, records in top
        ],
    }
