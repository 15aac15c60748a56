"""Windows: event logs as JSON or CSV, and the tables of Eric Zimmerman's tools and of KAPE."""

from __future__ import annotations

from collections.abc import Iterable

from bundles.intake.formats.kind import Json, Kind, at, by_time, columns, fields, first, has, text
from bundles.intake.formats.shapes import Look


def _evtx_dump(record: Json) -> Json:
    system = at(record, "Event", "System")
    event_id = at(system, "EventID")
    return {
        "title": text(at(system, "Channel"), at(event_id, "#text") or event_id, _attribute(system, "Provider", "Name")),
        "timestamp": _attribute(system, "TimeCreated", "SystemTime"),
    }


def _attribute(system: object, element: str, name: str) -> object:
    """An XML attribute, in a part of its own or, with `--separate-json-attributes`, beside the element."""
    return at(system, element, "#attributes", name) or at(system, f"{element}_attributes", name)


def _is_event_log(found: Look) -> bool:
    return has("Event")(found) and "System" in found.inner.get("Event", ())


def _evtx_ecmd(record: Json) -> Json:
    return {
        "title": text(record.get("MapDescription"))
        or text(*(record.get(n) for n in ("Channel", "EventId", "Provider"))),
        "timestamp": record.get("TimeCreated"),
    }


def _path(record: Json) -> str:
    return text(record.get("ParentPath"), first(record, "FileName", "Name"), join="\\")


_MFT_TIMES = (
    ("created", "Created0x10"), ("modified", "LastModified0x10"), ("changed", "LastRecordChange0x10"),
    ("accessed", "LastAccess0x10"),
)  # fmt: skip


def mft(record: Json) -> Iterable[Json]:
    """The times of `$STANDARD_INFORMATION`; those of `$FILE_NAME` stay fields of the record."""
    return by_time(((word, record.get(name)) for word, name in _MFT_TIMES), text(record.get("OSPath")) or _path(record))


def _journal(record: Json) -> Json:
    return {
        "title": text(record.get("UpdateReasons"), _path(record), join=": "),
        "timestamp": record.get("UpdateTimestamp"),
    }


_RUNS = ("LastRun", *(f"PreviousRun{number}" for number in range(7)))


def _prefetch(record: Json) -> Iterable[Json]:
    return by_time((("executed", record.get(name)) for name in _RUNS), text(record.get("ExecutableName")))


KINDS = (
    Kind(name="evtx-json", title="Windows event log as JSON", matches=_is_event_log, add=_evtx_dump),
    Kind(
        name="evtxecmd",
        title="EvtxECmd results",
        matches=fields("TimeCreated", "EventId", "EventRecordId", "Channel", "Provider", "Computer"),
        add=_evtx_ecmd,
    ),
    Kind(
        name="mftecmd",
        title="MFTECmd results of $MFT",
        matches=columns("EntryNumber", "ParentPath", "FileName", *(name for _, name in _MFT_TIMES)),
        each=mft,
    ),
    Kind(
        name="mftecmd-journal",
        title="MFTECmd results of $J",
        matches=columns("Name", "UpdateTimestamp", "UpdateReasons", "UpdateSequenceNumber"),
        add=_journal,
    ),
    Kind(
        name="pecmd",
        title="PECmd results",
        matches=columns("ExecutableName", "RunCount", "LastRun", "PreviousRun0"),
        each=_prefetch,
    ),
    Kind(
        name="pecmd-timeline",
        title="PECmd timeline",
        matches=lambda found: columns("RunTime", "ExecutableName")(found) and len(found.columns) == 2,
        add=lambda record: {
            "title": text("Executed", record.get("ExecutableName"), join=": "),
            "timestamp": record.get("RunTime"),
        },
    ),
    Kind(
        name="amcacheparser",
        title="AmcacheParser results",
        matches=columns("ProgramId", "FileKeyLastWriteTimestamp", "SHA1", "FullPath"),
        add=lambda record: {
            "title": text("Amcache entry written", record.get("FullPath"), join=": "),
            "timestamp": record.get("FileKeyLastWriteTimestamp"),
        },
    ),
    Kind(
        name="appcompatcacheparser",
        title="AppCompatCacheParser results",
        matches=columns("ControlSet", "CacheEntryPosition", "Path", "LastModifiedTimeUTC"),
        add=lambda record: {
            "title": text("File modified, from the shimcache", record.get("Path"), join=": "),
            "timestamp": record.get("LastModifiedTimeUTC"),
        },
    ),
    Kind(
        name="kape-copy-log",
        title="KAPE list of copied files",
        matches=columns("CopiedTimestamp", "SourceFile", "DestinationFile", "SourceFileSha1"),
        add=lambda record: {
            "title": text("Copied", record.get("SourceFile"), join=": "),
            "timestamp": record.get("CopiedTimestamp"),
        },
    ),
)
