"""Compares the bytes of files with their manifest while they are read; errors name the damaged chunk of a large file.

For `timeline.json` the incident id is checked too: a timeline of another incident is refused even if it is signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bundles.format.model import paths
from bundles.format.model.digests import FileDigest
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.hashing import FileLanes, HashLane
from bundles.format.model.manifest import FileEntry, Manifest
from bundles.format.model.timeline_incident import TimelineIncident


class Matcher:
    """Compares one file after the other with its signed digests.

    Files alternate between two lanes, so that a file is read while the last blocks of the previous one are hashed. A
    file's digest is compared when its lane is needed again, or by `compare_pending`.

    Args:
        manifest: the signed manifest.
        lanes: hash the files.
    """

    def __init__(self, manifest: Manifest, lanes: FileLanes) -> None:
        self._chunk_size = manifest.chunk_size
        self._incident_id = manifest.incident_id
        self._lanes = [lanes.whole, lanes.chunks]
        self._pending: dict[HashLane, tuple[FileDigest, FileEntry]] = {}  # oldest first

    def pieces(self, pieces: Iterable[memoryview], entry: FileEntry) -> Iterator[memoryview]:
        """Yield `pieces` unchanged and compare the file, now or in `compare_pending`.

        Args:
            pieces: the file's bytes, in order, as many as its signed size.
            entry: the file's signed entry.

        Raises:
            BundleRejectedError: `chunk_hash_mismatch` or `file_hash_mismatch`, of this file or an earlier one, or
                `incident_mismatch`.
        """
        self._lanes.reverse()
        whole, other = self._lanes
        self._compare(whole)
        if entry.size > self._chunk_size:
            self._compare(other)
        digest, compared = FileDigest(entry.size, self._chunk_size, whole, other), 0
        incident = TimelineIncident(self._incident_id) if entry.path == paths.TIMELINE else None
        for piece in pieces:
            if incident is not None:
                incident.update(piece)
            digest.update(piece)
            yield piece
            for chunk, found in zip(entry.chunks[compared:], digest.chunks[compared:], strict=False):
                if found != chunk.sha256:
                    last = chunk.offset + chunk.size - 1
                    detail = f"Bytes {chunk.offset} to {last} of {entry.path} do not have their signed SHA-256."
                    raise BundleRejectedError("chunk_hash_mismatch", detail)
            compared = len(digest.chunks)
        self._pending[whole] = digest, entry
        if incident is not None and incident.names_another:
            self.compare_pending()  # a digest that does not match is reported first
            raise BundleRejectedError("incident_mismatch", "timeline.json names another incident than the manifest.")

    def compare_pending(self) -> None:
        """Compare the files that have not been compared yet, in order.

        Raises:
            BundleRejectedError: `file_hash_mismatch`.
        """
        for lane in list(self._pending):
            self._compare(lane)

    def _compare(self, lane: HashLane) -> None:
        if lane in self._pending:
            digest, entry = self._pending.pop(lane)
            if digest.finish() != entry.sha256:
                raise BundleRejectedError("file_hash_mismatch", f"{entry.path} does not have its signed SHA-256.")
