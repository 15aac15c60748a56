"""What a job's attempts keep for the next one: members that were read to their end, records, and artifacts' contents.

Everything is in the staging folder of the job, with its journal. Nothing is believed that differs from the journal:
members and contents are hashed again before they are used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bundles.sources.adapters.protocol import ArtifactRecord
from bundles.sources.faults import Source
from bundles.sources.trace import Part
from bundles.storage.journal import Journal

READING, CONTENTS, RECORDS = "reading", "contents", "artifacts.records"
BLOCK_BYTES = 256 * 1024
_OWN_FIELDS = frozenset({"member", "provenance", "count", "fault"})


class Kept:
    """The staging folder of a job, open for one attempt.

    Args:
        folder: exists; may hold what an earlier attempt kept.
        request: all that decides what is fetched; what was kept for another request is dropped.

    Attributes:
        reading: an empty folder for members that are being read.
        contents: the folder of artifacts' contents.

    Raises:
        bundles.storage.journal.BusyError: another attempt still works in the folder.
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path, request: str) -> None:
        self.journal = Journal(folder, request)
        self._folder = folder
        self.reading = folder / READING
        self.contents = folder / CONTENTS
        shutil.rmtree(self.reading, ignore_errors=True)
        self.reading.mkdir(mode=0o700)
        self.contents.mkdir(mode=0o700, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.journal.__exit__(kind, error, at)

    def part(self, source: Source) -> Part | None:
        """The part that was read to its end by an earlier attempt, if its file is as it was."""
        entry = self.journal.get("part", source.key)
        if entry is None or not _is(self._folder / entry["file"], entry["sha256"]):
            return None
        known = {field.name for field in dataclasses.fields(Part)}
        if not known >= entry["more"].keys():
            return None
        member = self._folder / entry["file"]
        more: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in entry["more"].items()
        }
        return Part(member=member, provenance=entry["provenance"], count=entry["count"], **more)

    def keep(self, source: Source, found: Part) -> Part:
        """Take a part over from `reading`; one with a fault serves this attempt alone.

        Returns:
            The part with the new place of its member.
        """
        member = self._folder / found.member.name
        found.member.replace(member)
        moved = dataclasses.replace(found, member=member)
        more = {
            field.name: _plain(getattr(found, field.name))
            for field in dataclasses.fields(found)
            if field.name not in _OWN_FIELDS
        }
        if found.fault is None and _is_json(more) and _is_json(found.provenance):
            self.journal.add(
                "part", source.key, file=member.name, sha256=_digest(member), provenance=found.provenance,
                count=found.count, more=more,
            )  # fmt: skip
        return moved

    def records(self) -> list[ArtifactRecord] | None:
        """The artifact records that `keep_records` kept, if their file is as it was."""
        entry = self.journal.get("records", "")
        file = self._folder / RECORDS
        if entry is None or not _is(file, entry["sha256"]):
            return None
        with file.open("rb") as lines:
            return [_record_of(json.loads(line)) for line in lines]

    def keep_records(self, records: Sequence[ArtifactRecord]) -> None:
        """Keep artifact records, unless a handle is no JSON."""
        if not all(_is_json(dict(record.handle)) for record in records):
            return
        file = self._folder / RECORDS
        with file.open("wb") as lines:
            for record in records:
                lines.write(json.dumps({**vars(record), "handle": dict(record.handle)}).encode() + b"\n")
        self.journal.add("records", "", sha256=_digest(file))


def key_of(record: ArtifactRecord) -> str:
    """The name under which an artifact's content is kept; another for each other size or digest in the record."""
    text = json.dumps([record.artifact_id, record.name, record.size, record.sha256])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _record_of(fields: dict[str, Any]) -> ArtifactRecord:
    return ArtifactRecord(**{**fields, "locations": tuple(fields["locations"])})


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _is(file: Path, sha256: str) -> bool:
    try:
        return _digest(file) == sha256
    except OSError:
        return False


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
