"""Steps 6 and 7 of the reading plan: compares the payload with an authentic manifest, to the end of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bundles.format.model import manifest as manifests
from bundles.format.model.errors import BundleRejectedError, CannotCheckError
from bundles.format.model.hashing import FileLanes
from bundles.format.model.manifest import FileEntry, Manifest
from bundles.format.reading.matching import Matcher
from bundles.format.reading.sinks import Sink
from bundles.format.reading.tarstream import Member, TarStream


class ContentCheck:
    """Checks the members of one bundle.

    Args:
        manifest: an authentic manifest.
        signed: path → bytes of `manifest.json` and `manifest.sig`, as verified before.
        sink: receives each member's bytes as they are read.
        progress: called with payload bytes checked and in all, if given.
        lanes: hash the files.
    """

    def __init__(
        self,
        manifest: Manifest,
        signed: Mapping[str, bytes],
        sink: Sink,
        progress: Callable[[int, int], None] | None,
        lanes: FileLanes,
    ) -> None:
        self._signed = signed
        self._manifest = manifest
        self._awaited = {entry.path: entry for entry in manifest.files}
        self._seen: set[str] = set()
        self._sink = sink
        self._progress = progress
        self._done, self._total = 0, manifest.total_size
        self._matcher = Matcher(manifest, lanes)

    def run(self, stream: TarStream) -> None:
        """Read every member.

        Raises:
            BundleRejectedError: a code of the steps `container`, `members`, `contents` or `end`.
            CannotCheckError: `bundle_changed`: manifest and signature are not the verified ones.
        """
        try:
            self._read(stream)
        except BundleRejectedError:
            self._matcher.compare_pending()  # report the first fault in the file: an earlier file may not match
            raise

    def _read(self, stream: TarStream) -> None:
        strict = self._manifest.version == manifests.VERSION
        while (member := stream.next_member()) is not None:
            if member.path in self._seen:
                raise BundleRejectedError("duplicate_member", f"{member.path} is in the bundle twice.")
            self._seen.add(member.path)
            if strict and not member.canonical:
                raise BundleRejectedError(
                    "tar_header_invalid", f"The header of {member.path} is not the one the format prescribes."
                )
            if member.path in self._signed:
                self._check_signed(stream, member)
            else:
                self._check_payload(stream, member)
        if not self._signed.keys() <= self._seen:
            raise CannotCheckError("bundle_changed", "The file changed while it was read.")
        if self._awaited:
            raise BundleRejectedError("member_missing", f"{next(iter(self._awaited))} is listed but not in the bundle.")
        self._matcher.compare_pending()
        stream.finish(zeros_allowed=not strict)

    def _check_signed(self, stream: TarStream, member: Member) -> None:
        expected = self._signed[member.path]
        changed = CannotCheckError("bundle_changed", "The file changed while it was read.")
        if member.size != len(expected):
            raise changed
        offset, whole = 0, memoryview(expected)
        for piece in stream.data():  # piece by piece, so that a large manifest is not in memory twice
            if piece != whole[offset : offset + len(piece)]:
                raise changed
            offset += len(piece)
        self._sink.begin(member.path)
        self._sink.write(memoryview(expected))
        self._sink.end()

    def _check_payload(self, stream: TarStream, member: Member) -> None:
        entry = self._awaited.pop(member.path, None)
        if entry is None:
            raise BundleRejectedError("member_unlisted", f"{member.path} is in the bundle but not in its manifest.")
        if member.size != entry.size:
            raise BundleRejectedError("size_mismatch", f"{member.path} does not have its signed size.")
        self._sink.begin(entry.path)
        self._check_bytes(stream, entry)
        self._sink.end()

    def _check_bytes(self, stream: TarStream, entry: FileEntry) -> None:
        for piece in self._matcher.pieces(stream.data(), entry):
            self._sink.write(piece)
            self._done += len(piece)
            if self._progress is not None:
                self._progress(self._done, self._total)
