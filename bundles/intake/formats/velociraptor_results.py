"""Velociraptor: its own files in a collection, and the results of the common artifacts.

A result is a file of JSON lines whose member is named after the artifact and its source, so the name says how it is
read. What each artifact writes is in its definition (`artifacts/definitions/` of Velociraptor).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from bundles.intake.formats.kind import ALERTS, TIMELINE, Json, Kind, always, at, by_time, first, has, never, text
from bundles.intake.formats.shapes import LINES, Look
from bundles.intake.formats.windows import mft
from bundles.timelines.reading import HOST_FIELDS

Added = Callable[[Json], Iterable[Json]]


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """How the results of an artifact are read.

    Attributes:
        artifact: a pattern of `ARTIFACT` or `ARTIFACT/SOURCE`, without the prefix `Custom.`.
        needs: fields of the first row without which the mapping does not hold.
        added: the fields to add to a row, once for each event that it becomes.
        part: where the rows go.
    """

    artifact: str
    needs: tuple[str, ...]
    added: Added
    part: str = TIMELINE


def _row(time: tuple[str, ...], *title: str, said: str = "") -> Added:
    """One event a row: the first of the time's fields that it has, and a title of words and fields."""

    def added(row: Json) -> Iterable[Json]:
        made = text(*(at(row, *name.split(".")) for name in title))
        return [{"timestamp": first(row, *time), "title": text(said, made, join=": ")}]

    return added


def _times(*times: tuple[str, str], of: str) -> Added:
    return lambda row: by_time(((word, row.get(name)) for word, name in times), text(row.get(of)))


def _runs(row: Json) -> Iterable[Json]:
    runs = row.get("LastRunTimes")
    listed = runs if isinstance(runs, list) else [runs]
    return by_time((("executed", one) for one in listed if isinstance(one, str)), text(row.get("Executable")))


def _detection(row: Json) -> Iterable[Json]:
    rule = row.get("_Rule")
    return [
        {
            "timestamp": first(row, "Timestamp", "EventTime"),
            "title": text(first(row, "Title", "RuleTitle") or at(rule, "Title")),
            "severity": first(row, "Level") or at(rule, "Level"),
        }
    ]


MAPPINGS = (
    Mapping(artifact=r".*(?:Hayabusa|Sigma)\b.*", needs=("Timestamp", "Title"), added=_detection, part=ALERTS),
    Mapping(artifact=r".*\.YaraX?\b.*", needs=("Rule",), part=ALERTS,
            added=_row((), "Rule", "OSPath", "ProcessName", said="YARA")),
    Mapping(artifact=r"Windows\.EventLogs\.Evtx", needs=("System",),
            added=_row(("TimeCreated",), "System.Channel", "System.EventID.Value", "Message")),
    Mapping(artifact=r"Windows\.EventLogs\..*", needs=("EventTime",),
            added=_row(("EventTime",), "Channel", "EventID", "Description", "Message")),
    Mapping(artifact=r"Windows\.NTFS\.MFT", needs=("OSPath", "Created0x10"), added=mft),
    Mapping(artifact=r"Windows\.(?:Forensics\.Usn|Carving\.USN)", needs=("Timestamp", "Reason"),
            added=lambda row: [{"timestamp": row.get("Timestamp"), "title": text(
                _joined(row.get("Reason")), text(first(row, "OSPath", "Filename")), join=": ")}]),
    Mapping(artifact=r"Windows\.Forensics\.Prefetch", needs=("Executable", "LastRunTimes"), added=_runs),
    Mapping(artifact=r"Windows\.Timeline\..*", needs=("event_time", "message"),
            added=_row(("event_time",), "message")),
    Mapping(artifact=r"Windows\.Registry\.UserAssist", needs=("Name", "LastExecution"),
            added=_row(("LastExecution",), "Name", said="Executed")),
    Mapping(artifact=r"Windows\.Registry\.AppCompatCache", needs=("Name", "ModificationTime"),
            added=_row(("ModificationTime",), "Name", said="File modified, from the shimcache")),
    Mapping(artifact=r"Windows\.Detection\.Amcache", needs=("KeyMTime", "EntryName"),
            added=_row(("KeyMTime",), "EntryPath", "EntryName", said="Amcache entry written")),
    Mapping(artifact=r"Windows\.System\.Pslist", needs=("Pid", "CreateTime"),
            added=_row(("CreateTime",), "Name", "CommandLine", said="Process started")),
    Mapping(artifact=r"Windows\.Applications\.Chrome\.History", needs=("visit_time", "visited_url"),
            added=_row(("visit_time",), "visited_url", "title", said="Visited")),
    Mapping(artifact=r"Linux\.Syslog\.SSHLogin", needs=("Time", "Result"),
            added=_row(("Time",), "Result", "Method", "AttemptedUser", "IP", said="SSH")),
    Mapping(artifact=r"Generic\.Client\.Info/Users", needs=("Name", "LastLogin"),
            added=_row(("LastLogin",), "Name", said="Last login")),
    Mapping(artifact=r"Generic\.Client\.Info/(?:BasicInformation|WindowsInfo)", needs=(),
            added=_row((), "Hostname", "Computer Info.Name", said="Client")),
    Mapping(artifact=r".*/Uploads", needs=("CopiedOnTimestamp", "SourceFile"),
            added=_row(("CopiedOnTimestamp",), "SourceFile", said="Collected")),
    Mapping(artifact=r".*/All (?:File|Matches) Metadata", needs=("SourceFile", "Modified"),
            added=_times(("created", "Created"), ("modified", "Modified"), ("accessed", "LastAccessed"),
                         of="SourceFile")),
)  # fmt: skip


def _joined(value: Any) -> str:
    return text(*value, join=", ") if isinstance(value, list) else text(value)


def kind_of(artifact: str, found: Look) -> Kind | None:
    """The kind of the results of an artifact; None if there is no mapping for it, or its rows are of another form.

    Args:
        artifact: `ARTIFACT` or `ARTIFACT/SOURCE`.
        found: what its file holds.
    """
    for mapping in MAPPINGS if has()(found) else ():
        if (
            not re.fullmatch(mapping.artifact, artifact.removeprefix("Custom."))
            or not set(mapping.needs) <= found.first_keys
        ):
            continue
        return Kind(
            name="velociraptor-results",
            title=f"Results of {artifact}",
            matches=lambda one: one.shape == LINES,
            each=mapping.added,
            alert=always if mapping.part == ALERTS else never,
        )
    return None


def with_host(kind: Kind, host: str) -> Kind:
    """The kind, whose records get the name of the host that was collected, where they name none themselves."""
    if not host or kind.read is not None:
        return kind
    added = kind.each or (lambda record: [kind.add(record)])

    def each(record: Json) -> Iterable[Json]:
        names_one = any(name.lower() in HOST_FIELDS for name in record) or at(record, "System", "Computer")
        return ({**one, **({} if names_one else {"host": host})} for one in added(record))

    return replace(kind, each=each)


def _log(record: Json) -> Json:
    return {"title": text(record.get("message")).strip(), "timestamp": record.get("_ts")}


def _upload(record: Json) -> Json:
    return {
        "title": text("Uploaded", record.get("vfs_path"), f"({record['Type']})" if record.get("Type") else ""),
        "timestamp": record.get("Timestamp"),
    }


def _collection(record: Json) -> Json:
    artifacts = at(record, "request", "artifacts")
    listed = text(*artifacts, join=", ") if isinstance(artifacts, list) else ""
    return {"title": text("Collection", record.get("session_id"), listed), "timestamp": record.get("create_time")}


KINDS = (
    Kind(
        name="velociraptor-log",
        title="Velociraptor collection log",
        matches=has("_ts", "client_time", "level", "message"),
        add=_log,
    ),
    Kind(
        name="velociraptor-uploads",
        title="Velociraptor list of uploads",
        matches=has("vfs_path", "_Components", "file_size", "uploaded_size"),
        add=_upload,
    ),
    Kind(
        name="velociraptor-collection",
        title="Velociraptor collection",
        matches=has("session_id", "request", "create_time"),
        add=_collection,
    ),
)
