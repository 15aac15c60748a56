"""Reads incidents from folders: `<incident>/{timeline,alerts,artifacts}.json` and `artifacts/<artifact_id>/<name>`.

Nothing outside the given folders is read, and no links in them are followed.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from bundles.sources import store

KEPT_INCIDENTS = 8
_BLANKS, _COMMA = re.compile(r"\s*"), re.compile(r"\s*,?\s*")
_NAME = re.compile(r"[^/\0\ud800-\udfff]+")  # any file name: a source does not apply the format's rules for ids


def _is_one_name(text: object) -> bool:
    """Whether `text` is the name of one entry in a folder, not a path and neither `.` nor `..`."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None and text not in {".", ".."}


def _elements(array: str) -> list[str]:
    """The texts of a JSON array's elements, unchanged, since parsing and writing would change numbers.

    Raises:
        ValueError: it is not an array.
    """
    decoder, found = json.JSONDecoder(), []
    at = _BLANKS.match(array, array.index("[") + 1).end()  # type: ignore[union-attr] # it matches anything
    while array[at] != "]":
        _, end = decoder.raw_decode(array, at)
        found.append(array[at:end])
        at = _COMMA.match(array, end).end()  # type: ignore[union-attr]
    return found


class Folders:
    """The incidents in some folders; if several have one incident, the first is used.

    Args:
        roots: the folders.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [root.absolute() for root in roots]
        self._lock = threading.Lock()
        self._alerts: dict[str, tuple[tuple[int, int], list[str]]] = {}

    def incident_ids(self) -> list[str]:
        """The ids of all incidents, sorted."""
        found = {
            entry.name
            for root in self._roots
            if root.is_dir()
            for entry in root.iterdir()
            if (entry / "timeline.json").is_file()
        }
        return sorted(found)

    def open(self, incident_id: str, *parts: str) -> BinaryIO | None:
        """A file of an incident; None if it does not exist or is a link."""
        if not _is_one_name(incident_id):
            return None
        for root in self._roots:
            try:
                return os.fdopen(store.open_beneath(root, (incident_id, *parts)), "rb")
            except (OSError, store.NotPlainError):
                continue
        return None

    def alerts(self, incident_id: str) -> list[str]:
        """The texts of an incident's alerts, in the order of their file; empty for an unknown incident."""
        file = self.open(incident_id, "alerts.json")
        if file is None:
            return []
        with file, self._lock:
            stat = os.fstat(file.fileno())
            version = (stat.st_mtime_ns, stat.st_size)
            kept = self._alerts.get(incident_id)
            if kept is None or kept[0] != version:
                if len(self._alerts) >= KEPT_INCIDENTS:
                    self._alerts.clear()
                kept = self._alerts[incident_id] = version, _elements(file.read().decode())
            return kept[1]

    def artifact(self, artifact_id: str) -> BinaryIO | None:
        """The content of an artifact of any incident; None if there is none."""
        if not _is_one_name(artifact_id):
            return None
        for incident_id in self.incident_ids():
            listing = self.open(incident_id, "artifacts.json")
            if listing is None:
                continue
            with listing:
                records = json.load(listing)
            for record in records:
                if record["artifact_id"] == artifact_id:
                    return self._content(incident_id, record)
        return None

    def _content(self, incident_id: str, record: dict[str, Any]) -> BinaryIO | None:
        location = record.get("filepath") or record.get("stored_path") or ""
        parts = store.relative_parts(Path("/"), location)
        return self.open(incident_id, *parts) if parts else None
