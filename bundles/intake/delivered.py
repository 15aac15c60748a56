"""A delivered file, opened: what it is, its members if it is an archive, and the files in it whose records are read."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any

from bundles.intake import velociraptor
from bundles.intake.archives.members import FILE, Archive, ArchiveError, ArchiveLimits, Member
from bundles.intake.archives.tar_reader import TarArchive
from bundles.intake.archives.zip_reader import ZipArchive
from bundles.intake.formats import kinds, shapes
from bundles.intake.formats.kinds import Kind
from bundles.intake.formats.shapes import Look

READ_BYTES = 256 * 1024
DELIVERED = "delivered"  # the id of the artifact that is the delivered file itself
SINGLE, ZIP, TAR = "file", "zip", "tar"
TAR_MAGIC_AT, TAR_MAGIC = 257, b"ustar"
PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")
# Names of members that may hold records; what they hold is then decided by their content.
RECORD_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".log", ".txt", ".tsv"})
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
            if head[TAR_MAGIC_AT : TAR_MAGIC_AT + len(TAR_MAGIC)] == TAR_MAGIC or head.startswith(PACKED):
                (self.folder / UNPACKED).unlink(missing_ok=True)
                return TarArchive(self.path, self.folder / UNPACKED, check=self._check, limits=self._limits)
        except ArchiveError as error:
            self.refused = error
        return None

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
        try:
            with (folder / DELIVERED).open("wb") as out:
                for block in self.open_member(files[0]):
                    out.write(block)
        except ArchiveError:
            return None  # stated where its content is read
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
            found = self._record_file(DELIVERED, "", self.open)
            if found is not None:
                yield found
            return
        for member in self.members:
            suffix = PurePosixPath(member.name).suffix.lower()
            if member.kind != FILE or member.unreadable or suffix not in RECORD_SUFFIXES:
                continue
            try:
                found = self._record_file(self.artifact_id(member), member.name, partial(self.open_member, member))
            except ArchiveError:
                continue  # stated where its content is read
            if found is not None:
                yield found
        if self.inner is not None:
            yield from self.inner.record_files()

    def artifact_id(self, member: Member) -> str:
        """The id of the artifact that is a member: its place in the archive."""
        return f"{self._prefix}{member.index + 1:06d}"

    def _record_file(self, identity: str, name: str, opener: Callable[[], Iterator[bytes]]) -> RecordFile | None:
        look = shapes.look(self.head(opener()))
        kind = kinds.by_name(self._kind) if self._kind else kinds.recognise(look)
        if kind is None and self._mapping and not name:
            kind = kinds.mapped(self._mapping)
        if kind is None:
            return None
        return RecordFile(artifact_id=identity, name=name, look=look, kind=kind, open=opener)

    def head(self, pieces: Iterator[bytes]) -> bytes:
        """The first bytes, as many as it takes to recognise a file."""
        head = b""
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
        }
        if self.refused is not None:
            described["refused"] = {"code": self.refused.code, "reason": str(self.refused)}
        if self.archive is not None and self.archive.cut:
            described["cut"] = self.archive.cut
        if self.inner is not None:
            described["inner"] = self.inner.describe()
        return described
