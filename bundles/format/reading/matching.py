"""Files' bytes held against their manifest, as they pass; a damaged range of a large file is named.

Digests tell that a file is the one that was signed. Of `timeline.json` its incident is looked at too: a timeline of one
incident in a bundle of another is refused, whoever signed it.
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
    """Compares one file after the other with what was signed.

    Files take turns on two lanes, so that a file is read while the last blocks of the one before are still hashed. What
    is not compared at a file's end is compared when its lane is wanted again, or by `settle`.

    Args:
        manifest: what was signed: its chunk size and its incident count here.
        lanes: hash the files.
    """

    def __init__(self, manifest: Manifest, lanes: FileLanes) -> None:
        self._chunk_size = manifest.chunk_size
        self._incident_id = manifest.incident_id
        self._lanes = [lanes.whole, lanes.chunks]
        self._open: dict[HashLane, tuple[FileDigest, FileEntry]] = {}  # oldest first

    def pieces(self, pieces: Iterable[memoryview], entry: FileEntry) -> Iterator[memoryview]:
        """`pieces` as they are; the file is compared now, or later by `settle`.

        Args:
            pieces: the file's bytes, in order, as many as its signed size.
            entry: what was signed.

        Raises:
            BundleRejectedError: `chunk_hash_mismatch` or `file_hash_mismatch`, of this file or of one before, or
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
                    raise BundleRejectedError(
                        "chunk_hash_mismatch", f"Bytes {chunk.offset} to {last} of {entry.path} are not those signed."
                    )
            compared = len(digest.chunks)
        self._open[whole] = digest, entry
        if incident is not None and incident.names_another:
            self.settle()  # a file that is not the one that was signed is the fault to name
            raise BundleRejectedError("incident_mismatch", "timeline.json names another incident than the manifest.")

    def settle(self) -> None:
        """Compare what is still open, in the order of the files.

        Raises:
            BundleRejectedError: `file_hash_mismatch`.
        """
        for lane in list(self._open):
            self._compare(lane)

    def _compare(self, lane: HashLane) -> None:
        if lane in self._open:
            digest, entry = self._open.pop(lane)
            if digest.finish() != entry.sha256:
                raise BundleRejectedError("file_hash_mismatch", f"{entry.path} is not the file that was signed.")
