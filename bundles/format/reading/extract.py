"""Extraction: verifies and unpacks in one pass; the target folder appears only if everything matched.

Files are written through a directory handle into a staging folder next to the target, which is renamed at the end. No
link is followed; modes and owners are those of this process, not of the bundle. On any error the staging folder is
removed. Members keep their stored names unless the caller asks for names that the target can hold; a member whose name
was changed is listed in `names.json`.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.format.model.errors import CannotCheckError, RecordError
from bundles.format.model.limits import DEFAULT_LIMITS, Limits
from bundles.format.model.records import iter_array
from bundles.format.model.signing import KeyRing
from bundles.format.reading.container import Source
from bundles.format.reading.handles import DIRECTORY_FLAGS, FILE_FLAGS, closed_at_end
from bundles.format.reading.report import VerificationReport, check_bundle
from bundles.format.reading.target_names import MAP_FILE, POSIX, UNSUITABLE, TargetNames, rules_for
from bundles.format.reading.verify import VerifiedManifest

T = TypeVar("T")
USE_AUTO = "With --names auto it gets a name that the target can hold."


@dataclass(frozen=True)
class ExtractedBundle:
    """A verified bundle and the folder with its members.

    Attributes:
        report: the verification report.
        manifest: the authentic manifest.
        directory: the folder.
        renamed: member path → path in the folder, of the members that do not have their stored names.
    """

    report: VerificationReport
    manifest: VerifiedManifest
    directory: Path
    renamed: Mapping[str, str] = field(default_factory=dict)


def extract_bundle(
    path: Source,
    keys: KeyRing | None,
    into: Path,
    *,
    require: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    durable: bool = False,
    names: str = POSIX,
    progress: Callable[[int, int], None] | None = None,
) -> ExtractedBundle:
    """Verify a bundle and unpack it.

    Args:
        path: the bundle.
        keys: the keys to trust; None skips the signature check only.
        into: the folder to create; it must not exist, its parent must.
        require: how many different trusted keys must have signed.
        limits: bounds on what is read.
        durable: fsync every file and folder before `into` appears.
        names: `posix` writes the stored names or fails, `windows` writes names that Windows can hold, `auto` tries what
            the target can hold; see `target_names`.
        progress: called with payload bytes done and in all.

    Raises:
        BundleRejectedError: it is not verified; nothing is left behind.
        CannotCheckError: it could not be checked, or `cannot_extract`: the target exists or cannot be written.
    """
    with extraction(into, durable=durable, names=names) as sink:
        report = check_bundle(path, keys, require=require, limits=limits, sink=sink, progress=progress)
        if report.error is not None:
            raise report.error
    if report.manifest is None:
        raise AssertionError("a verified bundle has a manifest")
    return ExtractedBundle(report, report.manifest, into, sink.names.renamed)


@contextmanager
def extraction(into: Path, *, durable: bool = False, names: str = POSIX, bag: bool = False) -> Iterator[FolderSink]:
    """A sink whose files appear in `into` if the block ends without an error.

    Args:
        into: as in `extract_bundle`, like `durable` and `names`.
        durable: fsync every file and folder.
        names: which names the target can hold.
        bag: the files become the payload of a bag, whose names are changed as BagIt needs it and listed there.

    Raises:
        CannotCheckError: `cannot_extract`.
    """
    if os.path.lexists(into):
        raise CannotCheckError("cannot_extract", "The target folder already exists.")
    staging = into.parent / f".extract-{secrets.token_hex(8)}.part"
    try:
        staging.mkdir(mode=0o700)
        chosen = TargetNames(rules_for(names, staging, bag=bag))
        with FolderSink(staging, durable=durable, names=chosen) as sink:
            yield sink
        if chosen.renamed and not bag:
            write_map(staging / MAP_FILE, chosen.renamed, staging / paths.ARTIFACTS, durable=durable)
        with suppress(OSError):  # a file system without modes, such as FAT, has its own
            staging.chmod(0o750)
        publish_folder(staging, into, durable=durable)
    except OSError as error:
        raise CannotCheckError("cannot_extract", f"The target folder cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class FolderSink:
    """Writes members as files below a directory handle.

    Attributes:
        names: the names that were chosen.
    """

    def __init__(self, directory: Path, *, durable: bool, names: TargetNames) -> None:
        self.names = names
        self._directory = directory
        self._durable = durable
        self._root = -1
        self._file = -1

    def __enter__(self) -> Self:
        self._root = os.open(self._directory, DIRECTORY_FLAGS)
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._file, self._root):
            if descriptor >= 0:
                os.close(descriptor)

    def begin(self, path: str) -> None:
        """Create a member's file and its folders."""
        folder, _, name = path.rpartition("/")
        if not folder:
            self._file = self._new_file(self._root, name)
            return
        top, artifact_id = folder.split("/")
        try:
            with closed_at_end(self._folder(self._root, top)) as above:
                written = self._artifact_folder(above, artifact_id)
                with closed_at_end(self._opened(above, written)) as parent:
                    candidates = self.names.candidates(written, name)
                    self._file, chosen = _first_that_fits(candidates, lambda one: self._new_file(parent, one))
        except OSError as error:
            if error.errno not in UNSUITABLE:
                raise
            what = f"The target folder cannot hold {path}: {error.strerror}."
            raise CannotCheckError("cannot_extract", f"{what} {USE_AUTO if self.names.as_stored else ''}") from error
        self.names.made_file(path, written, chosen)

    def write(self, data: memoryview) -> None:
        """Append to the member's file."""
        while data:
            data = data[os.write(self._file, data) :]

    def end(self) -> None:
        """Close the member's file."""
        if self._durable:
            os.fsync(self._file)
        descriptor, self._file = self._file, -1
        os.close(descriptor)

    def _artifact_folder(self, above: int, artifact_id: str) -> str:
        """The name of the folder of an artifact, which is made if this is its first file."""
        if self.names.as_stored:
            with suppress(FileExistsError):
                self._new_folder(above, artifact_id)
            return artifact_id
        written = self.names.folder_of(artifact_id)
        if written is None:
            candidates = self.names.candidates("", artifact_id)
            _, written = _first_that_fits(candidates, lambda one: self._new_folder(above, one))
            self.names.made_folder(artifact_id, written)
        return written

    def _folder(self, parent: int, name: str) -> int:
        with suppress(FileExistsError):
            self._new_folder(parent, name)
        return self._opened(parent, name)

    def _new_folder(self, parent: int, name: str) -> None:
        os.mkdir(name, 0o750, dir_fd=parent)
        if self._durable:
            os.fsync(parent)

    def _opened(self, parent: int, name: str) -> int:
        return os.open(name, DIRECTORY_FLAGS, dir_fd=parent)

    def _new_file(self, parent: int, name: str) -> int:
        made = os.open(name, FILE_FLAGS, 0o640, dir_fd=parent)
        if self._durable:
            os.fsync(parent)
        return made


def _first_that_fits(candidates: Iterable[str], make: Callable[[str], T]) -> tuple[T, str]:
    """Make an entry under the first name that the target takes; the result, and that name.

    Raises:
        OSError: it takes none, or it fails for another reason.
    """
    refused = OSError(errno.EEXIST, "no name is left for a file")
    for name in candidates:
        try:
            return make(name), name
        except OSError as error:
            if error.errno not in UNSUITABLE:
                raise
            refused = error
    raise refused


def write_map(path: Path, renamed: Mapping[str, str], records: Path, *, durable: bool = False) -> None:
    """Write which member has which name in the folder.

    The file is an array of records: `written`, the path in the folder; `member`, the path in the bundle; and `name`,
    the artifact's true name, if its record has one.

    Args:
        path: the new file.
        renamed: member path → path in the folder.
        records: the extracted `artifacts.json`, which may be missing.
        durable: fsync the file.

    Raises:
        OSError: it cannot be written.
    """
    true_names = _true_names(renamed, records)
    lines = [
        canonical_json({"written": written, "member": member} | true_names.get(member, {}))
        for member, written in sorted(renamed.items())
    ]
    with path.open("xb") as file:
        file.write(b"[\n" + b",\n".join(lines) + b"\n]")
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _true_names(members: Collection[str], records: Path) -> dict[str, dict[str, str]]:
    """Member path → the name in its record."""
    found: dict[str, dict[str, str]] = {}
    try:
        for record, _ in iter_array(records):
            artifact_id, name = record.get("artifact_id"), record.get("name")
            if isinstance(artifact_id, str) and isinstance(name, str):
                member = paths.artifact_path(artifact_id, name)
                if member in members:
                    found[member] = {"name": name}
    except (FileNotFoundError, RecordError):
        pass  # records of an old bundle can be anything; the map still has the member paths
    return found


def publish_folder(staging: Path, into: Path, *, durable: bool = False) -> None:
    """Rename a finished folder to its name.

    Raises:
        OSError: it cannot be renamed, or the name is taken.
    """
    if os.path.lexists(into):
        raise FileExistsError(17, "the target already exists")
    staging.rename(into)
    if durable:
        parent = os.open(into.parent, DIRECTORY_FLAGS)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
