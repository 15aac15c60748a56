"""The ATT&CK view of an incident: tactics as columns, their techniques with counts, and the same as a Navigator layer.

The layer follows version 4.5 of the layer format of MITRE's ATT&CK Navigator.
"""

from __future__ import annotations

import re
from typing import Any

from bundles.timelines.reading import PHASES, TACTIC_IDS
from bundles.timelines.severities import SEVERITIES, UNRATED
from incidents.summary import IncidentView
from incidents.timeline.drawing import shape_of
from incidents.timeline.filters import EVERYTHING, Filter, phase_words

TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
LAYER_VERSIONS = {"layer": "4.5", "navigator": "5.1.0"}
COLOURS = ("#e7eefb", "#1f55b5")  # from the fewest records to the most


def matrix(view: IncidentView, wanted: Filter) -> list[dict[str, Any]]:
    """Each tactic with techniques, in the order of an attack, techniques by number of records.

    Args:
        view: the incident.
        wanted: the filter in force; a technique's link replaces it.
    """
    columns: dict[str, list[dict[str, Any]]] = {}
    for phase, technique, name, records, worst in _techniques(view):
        is_known = bool(TECHNIQUE.fullmatch(technique))
        link = Filter(phase=phase, technique=technique) if is_known else Filter(phase=phase, text=technique)
        columns.setdefault(phase, []).append(
            {
                "id": technique,
                "name": name,
                "records": records,
                "worst": SEVERITIES[worst],
                "shape": shape_of(worst),
                "href": link.query(view.origin, EVERYTHING) + "#records",
                "is_current": wanted.technique == technique and wanted.phase == phase,
            }
        )
    order = {phase: place for place, phase in enumerate((*PHASES, ""))}
    return [
        {"name": phase_words(phase), "techniques": columns[phase], "records": sum(t["records"] for t in columns[phase])}
        for phase in sorted(columns, key=lambda phase: order[phase])
    ]


def layer(view: IncidentView) -> dict[str, Any]:
    """The techniques of an incident as an ATT&CK Navigator layer; the score is the number of records."""
    tactics = set(TACTIC_IDS.values())
    techniques = []
    for phase, technique, name, records, worst in _techniques(view):
        if not TECHNIQUE.fullmatch(technique):
            continue
        worst_words = f", worst severity {SEVERITIES[worst]}" if worst != UNRATED else ""
        one: dict[str, Any] = {
            "techniqueID": technique,
            "score": records,
            "comment": f"{name + ': ' if name else ''}{records:,} records{worst_words}",
            "enabled": True,
        }
        techniques.append({**one, "tactic": phase} if phase in tactics else one)
    most = max((one["score"] for one in techniques), default=1)
    return {
        "name": view.incident_id,
        "versions": LAYER_VERSIONS,
        "domain": "enterprise-attack",
        "description": "Techniques named in the records of this incident; the score is the number of records.",
        "sorting": 3,
        "techniques": techniques,
        "gradient": {"colors": list(COLOURS), "minValue": 0, "maxValue": most},
    }


def _techniques(view: IncidentView) -> list[list[Any]]:
    return view.kept.facts.get("techniques", []) if view.kept else []
