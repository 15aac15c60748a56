"""Checks or extracts one file of a bundle without the rest.

The file is found through the seek table, or by walking the members if the table does not lead to its prescribed header.
The result covers this file only; `verify_bundle` verifies a whole bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bundles.format.model import manifest as manifests
from bundles.format.model import paths
from bundles.format.model.errors import BundleRejectedError, CannotCheckError
from bundles.format.model.hashing import FileLanes
from bundles.format.model.limits import DEFAULT_LIMITS, Limits
from bundles.format.model.manifest import FileEntry
from bundles.format.model.signing import KeyRing
from bundles.format.model.zeros import is_zero
from bundles.format.reading import tarheader
from bundles.format.reading.container import Source, open_bundle, tar_blocks
from bundles.format.reading.extract import extraction
from bundles.format.reading.matching import Matcher
from bundles.format.reading.raw_reader import BundleFile
from bundles.format.reading.target_names import POSIX
from bundles.format.reading.tarstream import TarStream
from bundles.format.reading.verify import VerifiedManifest, authenticate


@dataclass(frozen=True, kw_only=True)
class MatchedFile:
    """A file that matches its signed size and digests; the other files were not checked.

    Attributes:
        entry: the file's entry in the manifest.
        manifest: the authentic manifest.
        sought: it was found through the seek table, not by walking the members before it.
    """

    entry: FileEntry
    manifest: VerifiedManifest
    sought: bool


def match_file(
    path: Source,
    keys: KeyRing,
    only: str,
    *,
    require: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    take: Callable[[memoryview], object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MatchedFile:
    """Check one file of a bundle.

    Args:
        path: the bundle.
        keys: the keys to trust.
        only: the file's member path.
        require: how many different trusted keys must have signed.
        limits: bounds on what is read.
        take: called with the file's bytes as they are read; must not release them before this function returned.
        progress: called with the file's bytes done and in all.

    Raises:
        BundleRejectedError: the manifest is not authentic, or the file does not match it.
        CannotCheckError: it could not be checked, or `not_listed`: the manifest has no such file.
    """
    with open_bundle(path) as file, FileLanes() as lanes:
        verified = authenticate(file, keys, require=require, limits=limits)
        entry = next((entry for entry in verified.manifest.files if entry.path == only), None)
        if entry is None:
            raise CannotCheckError("not_listed", f"The manifest lists no file {only}.")
        sought = _seek(file, verified, entry, limits)
        done, matcher = 0, Matcher(verified.manifest, lanes)
        try:
            pieces = sought if sought is not None else _scan(file, verified, entry, limits)
            for piece in matcher.pieces(pieces, entry):
                if take is not None:
                    take(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, entry.size)
            matcher.compare_pending()
        except BundleRejectedError as error:
            if error.code != "corrupt_compression" or sought is None:
                raise
            raise BundleRejectedError(error.code, f"{_range(entry, done)} of {only} cannot be decompressed.") from error
        return MatchedFile(entry=entry, manifest=verified, sought=sought is not None)


def extract_file(
    path: Source,
    keys: KeyRing,
    only: str,
    into: Path,
    *,
    require: int = 1,
    names: str = POSIX,
    progress: Callable[[int, int], None] | None = None,
) -> MatchedFile:
    """Check one file of a bundle and write it under its member path into a new folder.

    Args:
        path: the bundle.
        keys: the keys to trust.
        only: the file's member path.
        into: the folder to create; it must not exist, its parent must. It appears only if the file matched.
        require: how many different trusted keys must have signed.
        names: which names the target can hold, as for `extract_bundle`.
        progress: called with the file's bytes done and in all.

    Raises:
        BundleRejectedError: the manifest is not authentic, or the file does not match it; nothing is left behind.
        CannotCheckError: it could not be checked, `not_listed`, or `cannot_extract`.
    """
    with extraction(into, names=names) as sink:
        begun = False

        def take(piece: memoryview) -> None:
            nonlocal begun
            if not begun:
                sink.begin(only)
                begun = True
            sink.write(piece)

        matched = match_file(path, keys, only, require=require, take=take, progress=progress)
        take(memoryview(b""))  # creates an empty file
        sink.end()
    return matched


def _range(entry: FileEntry, offset: int) -> str:
    """The damaged range in words: the chunk at `offset`, or everything from there if the file has no chunks."""
    for chunk in entry.chunks:
        if chunk.offset <= offset < chunk.offset + chunk.size:
            return f"Something in bytes {max(chunk.offset, offset)} to {chunk.offset + chunk.size - 1}"
    return f"Something from byte {offset} on"


def _seek(
    file: BundleFile, verified: VerifiedManifest, entry: FileEntry, limits: Limits
) -> Iterator[memoryview] | None:
    """The file's bytes through the seek table; None if it does not lead to the file's prescribed header."""
    if file.kind != "zstd" or verified.manifest.version != manifests.VERSION:
        return None
    from bundles.format.reading import seeking  # imports zstandard, which may be missing if only gzip is used

    header = tarheader.member_header(entry.path, entry.size)
    try:
        table = seeking.read_seek_table(file, limits)
        if table is None:
            return None
        for offset in _places(verified, entry):
            if offset + tarheader.stored_size(entry.path, entry.size) > table.tar_size:
                continue
            if b"".join(table.read(offset, len(header), limits)) == header:
                start, stored = offset + len(header), entry.size + tarheader.padding(entry.size)
                table.check(start, stored, limits)
                return _unpadded(table.read(start, stored, limits), entry.size)
    except BundleRejectedError:
        return None  # a wrong table; the members are walked instead
    return None


def _places(verified: VerifiedManifest, entry: FileEntry) -> tuple[int, int]:
    """The offsets of the file's header in bundles of this writer: with manifest and signature first, or last."""
    before = 0
    for other in sorted(verified.manifest.files, key=lambda one: (one.path not in paths.DATA_MEMBERS, one.path)):
        if other.path == entry.path:
            break
        before += tarheader.stored_size(other.path, other.size)
    front = tarheader.stored_size(paths.MANIFEST, len(verified.raw))
    front += tarheader.stored_size(paths.SIGNATURE, len(verified.signature_raw))
    return front + before, before


def _unpadded(pieces: Iterator[memoryview], size: int) -> Iterator[memoryview]:
    for piece in pieces:
        data, rest = piece[:size], piece[size:]
        size -= len(data)
        if not is_zero(rest):
            raise BundleRejectedError("tar_padding_invalid", "The padding of a member is not zero.")
        if data:
            yield data


def _scan(file: BundleFile, verified: VerifiedManifest, entry: FileEntry, limits: Limits) -> Iterator[memoryview]:
    """The file's bytes, found by walking the members before it."""
    stream = TarStream(tar_blocks(file, limits), limits)
    while (member := stream.next_member()) is not None:
        if member.path != entry.path:
            for _piece in stream.data():
                pass
            continue
        if member.size != entry.size:
            raise BundleRejectedError("size_mismatch", f"{member.path} does not have its signed size.")
        if verified.manifest.version == manifests.VERSION and not member.canonical:
            raise BundleRejectedError(
                "tar_header_invalid", f"The header of {member.path} is not the one the format prescribes."
            )
        yield from stream.data()
        return
    raise BundleRejectedError("member_missing", f"{entry.path} is listed but not in the bundle.")
