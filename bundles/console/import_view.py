"""Imports and their previews as the pages show them: words, states and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bundles.intake.delivered import SINGLE, TAR, ZIP
from bundles.intake.formats import kinds
from bundles.intake.mappings import COLUMN_CHARACTERS
from bundles.models import Bundle, Intake
from bundles.timelines.severities import MEDIUM, SCALES, SEVERITIES, WORDS
from jobs.models import ENDED, Job

CONTAINERS = {SINGLE: "One file", ZIP: "A zip archive", TAR: "A tar archive"}
MILLISECONDS = len("2026-01-12T08:00:00.000")
# What a column can hold: kinds.MAPPED_TO → for people.
HOLDS = {
    "timestamp": "Time",
    "title": "Title",
    "severity": "Severity",
    "tactic": "Phase (ATT&CK tactic)",
    "technique": "Technique (ATT&CK id)",
    "host": "Host",
    "user": "Account",
    "source": "Source address",
    "target": "Target address",
}

Json = dict[str, Any]


def rows_of(intakes: Sequence[Intake]) -> list[Json]:
    """Imports with their state in words, and their jobs, bundles and incidents, in two queries."""
    jobs = Job.objects.in_bulk({one for intake in intakes for one in (intake.preview_job_id, intake.job_id) if one})
    bundles = Bundle.objects.in_bulk({intake.bundle_id for intake in intakes if intake.bundle_id})
    return [
        _row(
            intake,
            jobs.get(intake.preview_job_id) if intake.preview_job_id else None,
            jobs.get(intake.job_id) if intake.job_id else None,
            bundles.get(intake.bundle_id) if intake.bundle_id else None,
        )
        for intake in intakes
    ]


def _row(intake: Intake, reading: Job | None, making: Job | None, bundle: Bundle | None) -> Json:
    job = making or reading
    return {
        "intake": intake,
        "state": _state(reading, making, bundle),
        "job": job,
        "busy": job is not None and job.status not in ENDED,
        "bundle": bundle,
        "incident_id": making.incident_id if making else bundle.incident_id if bundle else "",
    }


def _state(reading: Job | None, making: Job | None, bundle: Bundle | None) -> tuple[str, str]:
    """The state as kind and words for the tag `state`."""
    if making is not None and making.status not in ENDED:
        return "running", "Being bundled"
    if making is not None and not making.is_completed:
        return "failed", "Not bundled" if making.is_failed else "Bundling cancelled"
    if bundle is not None:
        return "ok", "Bundled"
    if reading is not None and reading.status not in ENDED:
        return "running", "Being read"
    if reading is not None and not reading.is_completed:
        return "failed", "Not read"
    return "needs", "Not bundled yet"


def shown(preview: Json) -> Json:
    """What the page shows of a preview besides the preview itself."""
    records = preview["records"]
    rated: dict[str, int] = {}
    for file in records:
        for name, number in file["severities"].items():
            rated[name] = rated.get(name, 0) + number
    described = preview["described"]
    return {
        "container": CONTAINERS.get(preview["container"], preview["container"]),
        "events": sum(file["events"] for file in records),
        "alerts": sum(file["alerts"] for file in records),
        "undated": sum(file["undated"] for file in records),
        "severities": [
            {"name": name, "shape": shape_of(name), "number": rated[name]}
            for name in reversed(SEVERITIES)
            if name in rated
        ],
        "titles": _titles(records),
        "first": [_first(one) for one in preview["first"]],
        "bad": [file for file in records if file["left_out"]["count"]],
        "refused_archive": described.get("refused"),
        "cut": described.get("cut", "") or described.get("inner", {}).get("cut", ""),
        "is_archive": preview["container"] != SINGLE,
        "columns": [(place, name) for place, name in enumerate(preview["columns"]) if _can_be_chosen(name)],
        "words": _words(),
        "scales": SCALES,
        "by_mapping": any(file["kind"] == kinds.MAPPED for file in records),
        "sealed": bool(preview["encrypted"]["count"]),
    }


def _first(one: Json) -> Json:
    """A record with its time and phase as the page of an incident shows them."""
    return {
        **one,
        "at": one["time"].replace("T", " ").removesuffix("Z"),
        "iso": one["time"][:MILLISECONDS].removesuffix("Z") + "Z",  # HTML knows no finer times
        "phase": one["phase"].replace("-", " ") or "unassigned",
        "shape": shape_of(one["severity"]),
    }


def shape_of(severity: str) -> str:
    """The shape that stands for a severity in lists, as on the page of an incident."""
    return severity if SEVERITIES.index(severity) >= MEDIUM else "low"


def _titles(records: list[Json]) -> list[Json]:
    """The kinds that were recognised, each with how many files are of it."""
    found: dict[str, Json] = {}
    for file in records:
        one = found.setdefault(file["kind"], {"title": file["title"], "files": 0, "events": 0, "alerts": 0})
        one["files"] += 1
        one["events"] += file["events"]
        one["alerts"] += file["alerts"]
    return list(found.values())


def _can_be_chosen(column: str) -> bool:
    return 0 < len(column) <= COLUMN_CHARACTERS and "\0" not in column


def _words() -> list[tuple[str, str]]:
    """Each severity with the words that mean it, the worst first."""
    return [
        (name, ", ".join(word for word, at in WORDS.items() if at == rank))
        for rank, name in reversed(list(enumerate(SEVERITIES)))
        if rank
    ]
