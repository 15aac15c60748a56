"""Bundles a folder: an incident folder, or any folder.

An incident folder has `timeline.json`, `alerts.json`, `artifacts.json` and `artifacts/<artifact_id>/<name>`. For an
artifact without a record, one is made from its file. Files outside this layout and records of another incident are
refused, so that nothing is left out silently. With `any_folder`, each file is an artifact whose id is derived from its
relative path, which its record keeps. Links and special files are refused.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundles.format.model import paths
from bundles.format.model.errors import CannotWriteError, RecordError
from bundles.format.model.limits import MIB
from bundles.format.model.records import (
    ALERT_ORDER,
    ARTIFACT_ORDER,
    RecordSpool,
    canonical_record,
    iter_array,
    read_timeline,
    sort_key,
    write_timeline,
)
from bundles.format.writing.payload import Payload

PATHS_NAMED = 20


@dataclass(frozen=True)
class _File:
    """A file in the folder: its relative path, its location, its size in bytes."""

    relative: str
    location: Path
    size: int


def folder_payloads(folder: Path, incident_id: str, staging: Path, *, any_folder: bool) -> list[Payload]:
    """The payloads of a folder; its data members are written in canonical form to `staging`.

    Args:
        folder: the folder to bundle.
        incident_id: the incident; with `any_folder` it is written to the timeline, else all records must match it.
        staging: an empty working directory.
        any_folder: accept any folder, not only an incident folder.

    Raises:
        CannotWriteError: `input_invalid`: a link or special file, an unreadable record, two records for one artifact,
            a file outside the layout, a record of another incident.
    """
    try:
        make = _any_members if any_folder else _incident_members
        artifacts = make(folder, incident_id, staging)
    except RecordError as error:
        raise CannotWriteError("input_invalid", error.detail) from error
    except OSError as error:
        what = Path(os.fsdecode(error.filename)).name if error.filename else "a file"
        raise CannotWriteError("input_invalid", f"The folder cannot be read: {what!r}: {error.strerror}.") from error
    return [Payload.of_file(name, staging / name) for name in paths.DATA_MEMBERS] + artifacts


def _any_members(folder: Path, incident_id: str, staging: Path) -> list[Payload]:
    spool, payloads = RecordSpool(staging), []
    for file in _walk(folder):
        artifact_id = hashlib.sha256(os.fsencode(file.relative)).hexdigest()[:32]
        record = _made_record(artifact_id, file, name=file.relative)
        spool.add(sort_key(record, ARTIFACT_ORDER), canonical_record(record))
        payloads.append(_payload(paths.artifact_path(artifact_id, file.relative), file, record["sha256"]))
    spool.write_array(staging / paths.ARTIFACTS)
    RecordSpool(staging).write_array(staging / paths.ALERTS)
    write_timeline(staging / paths.TIMELINE, {"incident_id": incident_id, "event_count": 0}, [])
    return payloads


def _incident_members(folder: Path, incident_id: str, staging: Path) -> list[Payload]:
    _refuse_files_outside_layout(folder)
    for name in paths.DATA_MEMBERS:
        if os.path.lexists(folder / name) and not stat.S_ISREG((folder / name).lstat().st_mode):
            raise CannotWriteError("input_invalid", f"{name} is not a regular file.")
    timeline = read_timeline(folder / paths.TIMELINE)
    _refuse_another_incident(timeline.header, "incident_id", incident_id, paths.TIMELINE)
    write_timeline(staging / paths.TIMELINE, timeline.header, (line for _, line in timeline.events))
    alerts = RecordSpool(staging)
    for record, line in iter_array(folder / paths.ALERTS):
        _refuse_another_incident(record, "correlation_id", incident_id, paths.ALERTS)
        alerts.add(sort_key(record, ALERT_ORDER), line)
    alerts.write_array(staging / paths.ALERTS)
    return _artifact_members(folder, incident_id, staging)


def _refuse_files_outside_layout(folder: Path) -> None:
    known = {*paths.DATA_MEMBERS, paths.ARTIFACT_FOLDER}
    others = sorted(one.name for one in folder.iterdir() if one.name not in known)
    outside = [path for name in others for path in _paths_below(folder, name)]
    if (folder / paths.ARTIFACT_FOLDER).is_dir():
        entries = sorted((folder / paths.ARTIFACT_FOLDER).iterdir())
        empty = [entry for entry in entries if entry.is_dir() and not any(entry.iterdir())]
        outside += [f"{paths.ARTIFACT_FOLDER}/{entry.name}/" for entry in empty]
    if outside:
        named = ", ".join(map(repr, outside[:PATHS_NAMED]))
        more = f" and {len(outside) - PATHS_NAMED} more" if len(outside) > PATHS_NAMED else ""
        what = f"These would not be in the bundle: {named}{more}."
        advice = "Put them into artifacts/<artifact_id>/, or bundle the folder as it is with --any."
        raise CannotWriteError("input_invalid", f"{what} {advice}")


def _paths_below(folder: Path, name: str) -> list[str]:
    """The files of an entry, relative to `folder`; the entry itself if it is a file, a link or an empty folder."""
    top = folder / name
    if top.is_symlink() or not top.is_dir():
        return [name]
    found = [
        (Path(directory) / one).relative_to(folder).as_posix()
        for directory, _, names in os.walk(top, onerror=_raise)
        for one in names
    ]
    return sorted(found) or [f"{name}/"]


def _refuse_another_incident(record: dict[str, Any], field: str, incident_id: str, member: str) -> None:
    named = record.get(field)
    if named is not None and named != incident_id:
        shown = str(named)[:128]
        raise CannotWriteError("input_invalid", f"{member} is of incident {shown!r}, not of {incident_id!r}.")


def _artifact_members(folder: Path, incident_id: str, staging: Path) -> list[Payload]:
    files = _artifact_files(folder)
    spool, payloads = RecordSpool(staging), []
    for record, line in _records(folder / paths.ARTIFACTS):
        _refuse_another_incident(record, "incident_id", incident_id, paths.ARTIFACTS)
        artifact_id = record.get("artifact_id")
        file = files.pop(artifact_id, None) if isinstance(artifact_id, str) else None
        if not paths.valid_artifact_id(artifact_id) or file is None:
            raise RecordError(f"the record of artifact {str(artifact_id)[:80]!r} has no file, or there are two")
        name = record.get("name")
        digest = record.get("sha256")
        spool.add(sort_key(record, ARTIFACT_ORDER), line)
        member = paths.artifact_path(str(artifact_id), name if isinstance(name, str) else file.location.name)
        payloads.append(_payload(member, file, digest if isinstance(digest, str) else None))
    for artifact_id, file in sorted(files.items()):
        record = _made_record(artifact_id, file, name=file.location.name)
        spool.add(sort_key(record, ARTIFACT_ORDER), canonical_record(record))
        payloads.append(_payload(paths.artifact_path(artifact_id, file.location.name), file, record["sha256"]))
    spool.write_array(staging / paths.ARTIFACTS)
    return payloads


def _records(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The records of `artifacts.json`; none if the file does not exist."""
    if path.exists():
        yield from iter_array(path)


def _artifact_files(folder: Path) -> dict[str, _File]:
    """Artifact id → its one file below `artifacts/`."""
    found: dict[str, _File] = {}
    root = folder / paths.ARTIFACT_FOLDER
    if root.is_symlink():
        raise CannotWriteError("input_invalid", "artifacts is a link.")
    for file in _walk(root) if root.is_dir() else []:
        parts = file.relative.split("/")
        if len(parts) != 2 or not paths.valid_artifact_id(parts[0]) or parts[0] in found:
            raise CannotWriteError("input_invalid", f"{file.relative!r} is not artifacts/<artifact_id>/<name>.")
        found[parts[0]] = file
    return found


def _walk(folder: Path) -> Iterator[_File]:
    """Every regular file below `folder`, sorted by path."""
    for directory, folders, names in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted(names) + [entry for entry in folders if (Path(directory) / entry).is_symlink()]:
            location = Path(directory) / name
            found = location.lstat()
            if not stat.S_ISREG(found.st_mode):
                raise CannotWriteError("input_invalid", f"{location.name!r} is not a regular file.")
            yield _File(location.relative_to(folder).as_posix(), location, found.st_size)


def _raise(error: OSError) -> None:
    raise error


def _payload(member: str, file: _File, sha256: str | None) -> Payload:
    def open_file() -> Any:
        descriptor = os.open(file.location, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return os.fdopen(descriptor, "rb", buffering=0)

    return Payload(path=member, size=file.size, open=open_file, expected_sha256=sha256)


def _made_record(artifact_id: str, file: _File, *, name: str) -> dict[str, Any]:
    digest = hashlib.sha256()
    with file.location.open("rb", buffering=0) as stream:
        while block := stream.read(MIB):
            digest.update(block)
    return {"artifact_id": artifact_id, "name": name, "sha256": digest.hexdigest(), "size": file.size}
