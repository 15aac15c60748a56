"""The kinds of files whose records become events and alerts, each with how it is recognised and read.

A file is recognised by the keys of its first record, never by its name. A record goes in with its own fields; what the
console needs and the record has under another name is added under ours, where the record has no such field itself.
`docs/import.md` lists the kinds, with what is read and what is not.
"""

from __future__ import annotations

from collections.abc import Mapping

from bundles.intake.formats import detections, misp, network, shapes, timelines, velociraptor_results, windows
from bundles.intake.formats.kind import ALERTS, TIMELINE, Kind, Taken
from bundles.intake.formats.shapes import Look

__all__ = ["ALERTS", "KINDS", "MAPPED_TO", "TIMELINE", "Kind", "Taken", "by_name", "mapped", "recognise"]

MAPPED_TO = ("timestamp", "title", "severity", "tactic", "technique", "host", "user", "source", "target")
_AS_READ = {"technique": "mitre_technique"}  # the names under which the console reads it

# The first that matches counts: detections that are written for Timesketch are detections.
KINDS: tuple[Kind, ...] = (
    *network.KINDS,
    *windows.KINDS,
    *misp.KINDS,
    *detections.KINDS,
    *timelines.KINDS,
    *velociraptor_results.KINDS,
)


def recognise(found: Look) -> Kind | None:
    """The kind of a file that was looked at; None if its records are not understood."""
    return next((kind for kind in KINDS if kind.matches(found)), None)


def by_name(name: str) -> Kind | None:
    """The kind of that name."""
    return next((kind for kind in KINDS if kind.name == name), None)


MAPPED = "mapped"


def mapped(mapping: Mapping[str, str]) -> Kind:
    """A kind for a file that is not known, whose fields somebody has named.

    Args:
        mapping: one of `MAPPED_TO` → the field or column that holds it.
    """
    return Kind(
        name=MAPPED,
        title="Records by a mapping",
        matches=lambda found: found.shape != shapes.NONE,
        add=lambda record: {
            _AS_READ.get(ours, ours): record.get(theirs) for ours, theirs in mapping.items() if ours in MAPPED_TO
        },
    )
