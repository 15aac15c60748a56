"""Incidents in folders: `<incident>/{timeline,alerts,artifacts}.json` and `artifacts/<artifact_id>/<name>`.

Reads nothing outside the given folders, and follows no links within them.
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
_NAME = re.compile(r"[^/\0\ud800-\udfff]+")  # whether an id is one by the format's rules is not for a source to say


def _is_one_name(text: object) -> bool:
    """Whether `text` names one thing in a folder, and never the folder itself or what is around it."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None and text not in {".", ".."}


def _elements(array: str) -> list[str]:
    """The texts of a JSON array's elements: parsing and writing them anew would change numbers.

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
    """The incidents below some folders; the first folder that has an incident wins.

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
        """A file of an incident, or None when there is none (or it is a link)."""
        if not _is_one_name(incident_id):
            return None
        for root in self._roots:
            try:
                return os.fdopen(store.open_beneath(root, (incident_id, *parts)), "rb")
            except (OSError, store.NotPlainError):
                continue
        return None

    def alerts(self, incident_id: str) -> list[str]:
        """The alerts of an incident as their file writes them, in its order; none when it is unknown."""
        file = self.open(incident_id, "alerts.json")
        if file is None:
            return []
        with file, self._lock:
            told = os.fstat(file.fileno())
            version = (told.st_mtime_ns, told.st_size)
            kept = self._alerts.get(incident_id)
            if kept is None or kept[0] != version:
                if len(self._alerts) >= KEPT_INCIDENTS:
                    self._alerts.clear()
                kept = self._alerts[incident_id] = version, _elements(file.read().decode())
            return kept[1]

    def artifact(self, artifact_id: str) -> BinaryIO | None:
        """The content of an artifact of any incident, or None."""
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
