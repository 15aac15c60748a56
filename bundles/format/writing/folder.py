"""Bundles a folder: an incident folder, or any folder.

An incident folder has `timeline.json`, `alerts.json`, `artifacts.json` and `artifacts/<artifact_id>/<name>`. For an
artifact without a record, one is made from its file. Files outside this layout and records of another incident are
refused, so that nothing is left out silently. With `any_folder`, each file is an artifact whose id is derived from its
relative path, which its record keeps. An empty folder has a record without a file. So have links and special files if
that is asked for; otherwise they are refused.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bundles.format.model import paths
from bundles.format.model.errors import CannotWriteError, RecordError
from bundles.format.model.limits import MIB
from bundles.format.model.records import (
    ALERT_ORDER,
    ARTIFACT_ORDER,
    FILE_TYPE,
    RecordSpool,
    canonical_record,
    sort_key,
    write_timeline,
)
from bundles.format.writing import folder_records
from bundles.format.writing.entries import FILE, FOLDER, Entry, record_text, walk
from bundles.format.writing.payload import Payload

REFUSE, RECORD = SPECIAL = ("refuse", "record")  # what to do with links and special files
PATHS_NAMED = 20


def folder_payloads(
    folder: Path, incident_id: str, staging: Path, *, any_folder: bool, special: str = REFUSE
) -> list[Payload]:
    """The payloads of a folder; its data members are written in canonical form to `staging`.

    Args:
        folder: the folder to bundle.
        incident_id: the incident; with `any_folder` it is written to the timeline, else all records must match it.
        staging: an empty working directory; not bundled if it is in the folder.
        any_folder: accept any folder, not only an incident folder.
        special: with `any_folder`, whether links and special files are refused (`refuse`), or what they are is
            written to their records (`record`).

    Raises:
        CannotWriteError: `input_invalid`: a link or special file, an unreadable record, two records for one artifact,
            a file outside the layout, a record of another incident.
    """
    try:
        if any_folder:
            artifacts = _any_members(folder, incident_id, staging, special)
        else:
            artifacts = _incident_members(folder, incident_id, staging)
    except RecordError as error:
        raise CannotWriteError("input_invalid", error.detail) from error
    except OSError as error:
        what = _below(folder, error.filename)
        raise CannotWriteError("input_invalid", f"The folder cannot be read: {what}: {error.strerror}.") from error
    return [Payload.of_file(name, staging / name) for name in paths.DATA_MEMBERS] + artifacts


def _below(folder: Path, filename: Any) -> str:
    """A path of an error, relative to the folder where it is in it."""
    if filename is None:
        return "a file"
    path = Path(os.fsdecode(filename))
    return repr((path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix())


def _any_members(folder: Path, incident_id: str, staging: Path, special: str) -> list[Payload]:
    entries = list(walk(folder, leave_out=staging))
    if special == REFUSE:
        advice = "--special record writes what they are into the bundle, without following or opening them."
        _refuse_special(entries, advice)
    spool, payloads = RecordSpool(staging), []
    for entry in entries:
        if entry.file_type == FILE:
            artifact_id = hashlib.sha256(os.fsencode(entry.relative)).hexdigest()[:32]
            record = _made_record(artifact_id, entry, name=entry.relative)
            payloads.append(_payload(paths.artifact_path(artifact_id, record["name"]), entry, record["sha256"]))
        else:
            record = {"name": record_text(entry.relative), **entry.facts()}
        spool.add(sort_key(record, ARTIFACT_ORDER), canonical_record(record))
    spool.write_array(staging / paths.ARTIFACTS)
    RecordSpool(staging).write_array(staging / paths.ALERTS)
    write_timeline(staging / paths.TIMELINE, {"incident_id": incident_id, "event_count": 0}, [])
    return payloads


def _refuse_special(entries: Iterable[Entry], advice: str) -> None:
    """Refuse links and special files, naming them all."""
    found = [entry.in_words for entry in entries if entry.file_type not in {FILE, FOLDER}]
    if found:
        raise CannotWriteError("input_invalid", f"These are not regular files: {_listed(found)}. {advice}")


def _listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - PATHS_NAMED:,} more" if len(names) > PATHS_NAMED else ""
    return ", ".join(names[:PATHS_NAMED]) + more


def _incident_members(folder: Path, incident_id: str, staging: Path) -> list[Payload]:
    _refuse_files_outside_layout(folder, staging)
    for name in paths.DATA_MEMBERS:
        if os.path.lexists(folder / name) and not stat.S_ISREG((folder / name).lstat().st_mode):
            raise CannotWriteError("input_invalid", f"{name} is not a regular file.")
    timeline = folder_records.timeline_of(folder)
    _refuse_another_incident(timeline.header, "incident_id", incident_id, paths.TIMELINE)
    write_timeline(staging / paths.TIMELINE, timeline.header, (line for _, line in timeline.events))
    alerts = RecordSpool(staging)
    for record, line in folder_records.records_of(folder, paths.ALERTS):
        _refuse_another_incident(record, "correlation_id", incident_id, paths.ALERTS)
        alerts.add(sort_key(record, ALERT_ORDER), line)
    alerts.write_array(staging / paths.ALERTS)
    return _artifact_members(folder, incident_id, staging)


def _refuse_files_outside_layout(folder: Path, staging: Path) -> None:
    known = {*paths.DATA_MEMBERS, paths.ARTIFACT_FOLDER}
    others = sorted(one.name for one in folder.iterdir() if one.name not in known and not _is_same(one, staging))
    outside = [path for name in others for path in _paths_below(folder, name)]
    if (folder / paths.ARTIFACT_FOLDER).is_dir():
        entries = sorted((folder / paths.ARTIFACT_FOLDER).iterdir())
        empty = [entry for entry in entries if entry.is_dir() and not any(entry.iterdir())]
        outside += [f"{paths.ARTIFACT_FOLDER}/{entry.name}/" for entry in empty]
    if outside:
        what = f"These would not be in the bundle: {_listed(list(map(repr, outside)))}."
        advice = "Put them into artifacts/<artifact_id>/, or bundle the folder as it is with --any."
        raise CannotWriteError("input_invalid", f"{what} {advice}")


def _is_same(one: Path, other: Path) -> bool:
    return os.path.samestat(one.lstat(), other.lstat())


def _paths_below(folder: Path, name: str) -> list[str]:
    """The files of an entry, relative to `folder`; the entry itself if it is a file, a link or an empty folder."""
    top = folder / name
    if top.is_symlink() or not top.is_dir():
        return [name]
    return [f"{name}/{entry.relative}" + ("/" if entry.file_type == FOLDER else "") for entry in walk(top)] or [
        f"{name}/"
    ]


def _refuse_another_incident(record: dict[str, Any], field: str, incident_id: str, member: str) -> None:
    named = record.get(field)
    if named is not None and named != incident_id:
        shown = str(named)[:128]
        raise CannotWriteError("input_invalid", f"{member} is of incident {shown!r}, not of {incident_id!r}.")


def _artifact_members(folder: Path, incident_id: str, staging: Path) -> list[Payload]:
    files = _artifact_files(folder)
    spool, payloads = RecordSpool(staging), []
    for position, (record, line) in enumerate(_records(folder), start=1):
        _refuse_another_incident(record, "incident_id", incident_id, paths.ARTIFACTS)
        spool.add(sort_key(record, ARTIFACT_ORDER), line)
        artifact_id = record.get("artifact_id")
        if artifact_id is None and FILE_TYPE in record:
            continue  # an empty folder, a link or a special file, which has no bytes
        file = files.pop(artifact_id, None) if isinstance(artifact_id, str) else None
        if not paths.valid_artifact_id(artifact_id) or file is None:
            which = folder_records.named(paths.ARTIFACTS, position, record)
            where = f"{paths.ARTIFACT_FOLDER}/<artifact_id>/"
            raise RecordError(f"{which}: there is no file of this artifact in {where}, or another record has it.")
        name = record.get("name")
        digest = record.get("sha256")
        stored_as = name if isinstance(name, str) else record_text(file.location.name)
        member = paths.artifact_path(str(artifact_id), stored_as)
        payloads.append(_payload(member, file, digest if isinstance(digest, str) else None))
    for artifact_id, file in sorted(files.items()):
        record = _made_record(artifact_id, file, name=file.location.name)
        spool.add(sort_key(record, ARTIFACT_ORDER), canonical_record(record))
        payloads.append(_payload(paths.artifact_path(artifact_id, record["name"]), file, record["sha256"]))
    spool.write_array(staging / paths.ARTIFACTS)
    return payloads


def _records(folder: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The records of `artifacts.json`; none if the file does not exist."""
    if (folder / paths.ARTIFACTS).exists():
        yield from folder_records.records_of(folder, paths.ARTIFACTS)


def _artifact_files(folder: Path) -> dict[str, Entry]:
    """Artifact id → its one file below `artifacts/`."""
    root = folder / paths.ARTIFACT_FOLDER
    if root.is_symlink():
        raise CannotWriteError("input_invalid", "artifacts is a link.")
    entries = list(walk(folder, below=paths.ARTIFACT_FOLDER)) if root.is_dir() else []
    _refuse_special(entries, "An incident folder has only regular files; --any with --special record takes others.")
    found: dict[str, Entry] = {}
    for entry in entries:
        parts = entry.relative.split("/")[1:]
        if len(parts) != 2 or not paths.valid_artifact_id(parts[0]) or parts[0] in found:
            raise CannotWriteError("input_invalid", f"{entry.relative!r} is not artifacts/<artifact_id>/<name>.")
        found[parts[0]] = entry
    return found


def _payload(member: str, file: Entry, sha256: str | None) -> Payload:
    return Payload(path=member, size=file.size, open=file.open, expected_sha256=sha256, origin=file.relative)


def _made_record(artifact_id: str, file: Entry, *, name: str) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with file.open() as stream:
        while block := stream.read(MIB):
            digest.update(block)
            size += len(block)
    if size != file.size:
        what = f"{file.relative!r} changed while it was read: it had {file.size} bytes, then {size}."
        raise CannotWriteError("input_invalid", f"{what} Bundle a copy that nothing writes to.")
    made = {"artifact_id": artifact_id, "name": record_text(name), "sha256": digest.hexdigest(), "size": size}
    return made | file.facts()
