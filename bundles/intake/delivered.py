"""A delivered file, opened: what it is, its members if it is an archive, and the files in it whose records are read."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import IO, Any
from uuid import uuid4

from bundles.intake import layouts, velociraptor
from bundles.intake.archives import packed
from bundles.intake.archives.members import FILE, Archive, ArchiveError, ArchiveLimits, Member
from bundles.intake.archives.tar_reader import TarArchive
from bundles.intake.archives.zip_reader import ZipArchive
from bundles.intake.formats import kinds, shapes, velociraptor_results
from bundles.intake.formats.kinds import Kind, Taken
from bundles.intake.formats.shapes import Look
from bundles.sources.jsonstream import MalformedError

READ_BYTES = 256 * 1024
DELIVERED = "delivered"  # the id of the artifact that is the delivered file itself
SINGLE, ZIP, TAR = "file", "zip", "tar"
TAR_MAGIC_AT, TAR_MAGIC = 257, b"ustar"
# Names of members that may hold records; what they hold is then decided by their content.
RECORD_SUFFIXES = frozenset({
    ".json", ".jsonl", ".ndjson", ".csv", ".log", ".txt", ".tsv", ".body", ".bodyfile",
})  # fmt: skip
PACKED_SUFFIXES = frozenset({".gz", ".zst", ".bz2", ".xz"})
ATTACHMENT = "a"  # in the id of a file that a record holds: `delivered-a000012`
UNPACKED, PASSWORD, INNER = "unpacked.tar", "password", "inner"
LONGEST_TARGET = 4096  # bytes
INNER_ZIP = "data.zip"

Check = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class RecordFile:
    """A file whose records are read.

    Attributes:
        artifact_id: the artifact that is this file.
        name: of the member; empty for the delivered file itself.
        look: what it holds.
        kind: how it is read.
        open: its bytes from the beginning.
    """

    artifact_id: str
    name: str
    look: Look
    kind: Kind
    open: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file that a record holds.

    Attributes:
        artifact_id: of the artifact that it becomes.
        name: as the record says.
        content: its bytes; None if they are not base64.
        file: the file of records.
        taken: the record.
    """

    artifact_id: str
    name: str
    content: bytes | None
    file: RecordFile
    taken: Taken


class Delivered:
    """A delivered file; what is found out about it is kept, and shared by the threads that use it.

    Args:
        folder: holds it under the name `delivered`, and what is made of it.
        name: as it was delivered.
        kind: the name of the kind as which its records are read; empty to recognise it.
        mapping: column or field → ours, see `kinds.mapped`; empty for none.
        check: called often; raises to stop the work.
        limits: of archives.
        prefix: of the ids of its members.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        kind: str = "",
        mapping: Mapping[str, str] | None = None,
        check: Check = lambda: None,
        limits: ArchiveLimits | None = None,
        prefix: str = "m",
    ) -> None:
        self.folder = folder
        self._prefix = prefix
        self.path = folder / DELIVERED
        self.name = name
        self._kind = kind
        self._mapping = mapping or {}
        self._check = check
        self._limits = limits or ArchiveLimits()
        self._lock = threading.RLock()
        self.refused: ArchiveError | None = None

    @cached_property
    def container(self) -> str:
        """`zip`, `tar`, or `file` for what is no archive or cannot be opened as one; `refused` then says why."""
        return ZIP if isinstance(self.archive, ZipArchive) else TAR if self.archive is not None else SINGLE

    def __repr__(self) -> str:
        return f"Delivered({self.name!r})"

    @property
    def archive(self) -> Archive | None:
        """The archive; None for a file that is none, or that is refused as a whole. Opened once, by any thread."""
        with self._lock:
            return self._archive

    @cached_property
    def _archive(self) -> Archive | None:
        head = self.head(self.open())
        try:
            if head[:4] in {b"PK\3\4", b"PK\5\6"}:
                return ZipArchive(self.path, password=self.password, limits=self._limits)
            if _is_tar(head) or (head.startswith(packed.MAGIC) and not self._is_packed_file()):
                return TarArchive(self.path, self.folder / UNPACKED, check=self._check, limits=self._limits)
        except ArchiveError as error:
            self.refused = error
        return None

    def _is_packed_file(self) -> bool:
        """Whether a packed file is one file of records, and no tar."""
        try:
            head = self.head(self.open_unpacked())
        except ArchiveError:
            return False
        return not _is_tar(head) and shapes.look(head).shape != shapes.NONE

    def open_unpacked(self) -> Iterator[bytes]:
        """The bytes of the delivered file, unpacked if it is packed."""
        return packed.unpacked(self.open(), self._limits)

    @cached_property
    def password(self) -> bytes | None:
        """The password that was given for it, without the line break at its end; None if there is none."""
        try:
            return (self.folder / PASSWORD).read_bytes().removesuffix(b"\n").removesuffix(b"\r")
        except FileNotFoundError:
            return None

    @cached_property
    def members(self) -> list[Member]:
        """The members of the archive; none for a single file."""
        return self.archive.members() if self.archive else []

    @cached_property
    def is_velociraptor(self) -> bool:
        """Whether it is a collection of Velociraptor."""
        return velociraptor.is_collection([member.name for member in self.members])

    @cached_property
    def host(self) -> str:
        """The host that a collection of Velociraptor says it is of; empty if it does not say, or is another file."""
        for member in self.members if self.is_velociraptor else ():
            if member.kind == FILE and not member.unreadable and velociraptor.names_host(member.name):
                try:
                    look = shapes.look(self.head(self.open_member(member)))
                except ArchiveError:
                    continue
                if host := velociraptor.host_in(look.first):
                    return host
        return ""

    @property
    def inner(self) -> Delivered | None:
        """The collection within an encrypted one of Velociraptor, whose only member it is; None if there is none.

        Its names are hidden by the outer zip, so without the password there is nothing to list.
        """
        with self._lock:
            return self._inner

    @cached_property
    def _inner(self) -> Delivered | None:
        files = [member for member in self.members if member.kind == FILE]
        if [member.name for member in files] != [INNER_ZIP]:
            return None
        folder = self.folder / INNER
        folder.mkdir(exist_ok=True, mode=0o700)
        # The parts of an import are read at the same time, each with a `Delivered` of its own, and share this file.
        writing = folder / f"{DELIVERED}.{uuid4().hex}"
        try:
            with writing.open("xb") as out:
                for block in self.open_member(files[0]):
                    out.write(block)
            writing.replace(folder / DELIVERED)
        except ArchiveError:
            return None  # stated where its content is read
        finally:
            writing.unlink(missing_ok=True)
        return Delivered(folder, INNER_ZIP, check=self._check, limits=self._limits, prefix="i")

    def open(self) -> Iterator[bytes]:
        """The bytes of the delivered file."""
        with self.path.open("rb") as file:
            while block := file.read(READ_BYTES):
                self._check()
                yield block

    def open_member(self, member: Member) -> Iterator[bytes]:
        """The bytes of a member.

        Raises:
            ArchiveError: it cannot be read.
        """
        if self.archive is None:
            raise ArchiveError("archive_damaged", "It is no archive.")
        for block in self.archive.read(member):
            self._check()
            yield block

    def link_target(self, member: Member) -> str:
        """Where a link of a zip points, which is its content; empty if that cannot be read."""
        target = b""
        try:
            for block in self.open_member(member):
                target += block
                if len(target) > LONGEST_TARGET:
                    break
        except ArchiveError:
            return ""
        return target[:LONGEST_TARGET].decode("utf-8", "backslashreplace")

    def shown_name(self, member: Member) -> str:
        """A member's name as people know it."""
        return velociraptor.shown_name(member.name) if self.is_velociraptor else member.name

    def record_files(self) -> Iterator[RecordFile]:
        """The files whose records are read, in the order of the archive."""
        if self.archive is None:
            found = self._record_file(DELIVERED, "", self.open_unpacked)
            if found is not None:
                yield found
            return
        for member in self.members:
            if member.kind != FILE or member.unreadable or not _may_hold_records(member.name):
                continue
            found = self._record_file(self.artifact_id(member), member.name, partial(self._open_packed, member))
            if found is not None:
                yield found
        if self.inner is not None:
            yield from self.inner.record_files()

    def _open_packed(self, member: Member) -> Iterator[bytes]:
        return packed.unpacked(self.open_member(member), self._limits)

    def attachments(self) -> Iterator[Attachment]:
        """The files that records hold, one by one."""
        for file in self.record_files():
            if file.kind.attachment is None:
                continue
            for number, taken in enumerate(_taken(file)):
                held = file.kind.attachment(taken.record)
                if held is not None:
                    identity = f"{file.artifact_id}-{ATTACHMENT}{number + 1:06d}"
                    yield Attachment(
                        artifact_id=identity, name=held[0], content=_decoded(held[1]), file=file, taken=taken
                    )

    def attached(self, artifact_id: str) -> bytes | None:
        """The content of an attachment; None if there is none of that id.

        The records are read once, when the first content is asked for.

        Raises:
            OSError: the contents cannot be written to the scratch file.
        """
        with self._lock:
            file, places = self._attached
        place = places.get(artifact_id)
        return None if place is None else os.pread(file.fileno(), *place)

    @cached_property
    def _attached(self) -> tuple[IO[bytes], dict[str, tuple[int, int]]]:
        """The attachments' contents one behind the other, and size and position of each, by the artifact's id."""
        file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 -- kept as long as this object
        places: dict[str, tuple[int, int]] = {}
        for held in self.attachments():
            if held.content is not None:
                places[held.artifact_id] = (len(held.content), file.tell())
                file.write(held.content)
        file.flush()
        return file, places

    def artifact_id(self, member: Member) -> str:
        """The id of the artifact that is a member: its place in the archive."""
        return f"{self._prefix}{member.index + 1:06d}"

    def _record_file(self, identity: str, name: str, opener: Callable[[], Iterator[bytes]]) -> RecordFile | None:
        look = shapes.look(self.head(opener()))
        kind = kinds.by_name(self._kind) if self._kind else None
        if kind is None and self.is_velociraptor:
            kind = velociraptor_results.kind_of(velociraptor.artifact_of(name), look)
        if kind is None and not self._kind:
            kind = kinds.recognise(look)
        if kind is None and self._mapping and not name:
            kind = kinds.mapped(self._mapping)
        if kind is None:
            return None
        kind = velociraptor_results.with_host(kind, self.host)
        return RecordFile(artifact_id=identity, name=name, look=look, kind=kind, open=opener)

    def head(self, pieces: Iterator[bytes]) -> bytes:
        """The first bytes, as many as it takes to recognise a file; fewer of a damaged one, as its reader says."""
        head = b""
        with suppress(ArchiveError):
            for piece in pieces:
                head += piece
                if len(head) >= shapes.HEAD_BYTES:
                    break
        return head[: shapes.HEAD_BYTES]

    def digest(self, member: Member) -> str:
        """The SHA-256 of a member, hex."""
        digest = hashlib.sha256()
        for block in self.open_member(member):
            digest.update(block)
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What it is: for the timeline's header and the preview."""
        described: dict[str, Any] = {
            "name": self.name,
            "container": self.container,
            "size": os.stat(self.path).st_size,  # noqa: PTH116 -- one call
            "members": len(self.members),
            "layout": layouts.words_of(self.container, [member.name for member in self.members]),
        }
        described |= {"host": self.host} if self.host else {}
        if self.refused is not None:
            described["refused"] = {"code": self.refused.code, "reason": str(self.refused)}
        if self.archive is not None and self.archive.cut:
            described["cut"] = self.archive.cut
        if self.inner is not None:
            described["inner"] = self.inner.describe()
        return described


def _is_tar(head: bytes) -> bool:
    return head[TAR_MAGIC_AT : TAR_MAGIC_AT + len(TAR_MAGIC)] == TAR_MAGIC


def _may_hold_records(name: str) -> bool:
    path = PurePosixPath(name.lower())
    if path.suffix in PACKED_SUFFIXES:
        path = path.with_suffix("")
    return path.suffix in RECORD_SUFFIXES


def _taken(file: RecordFile) -> Iterator[Taken]:
    """The records that can be taken; what cannot is named where the timeline is read."""
    try:
        for one in file.kind.records(file.open, file.look):
            if isinstance(one, Taken):
                yield one
    except (MalformedError, ArchiveError):
        return


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return None
