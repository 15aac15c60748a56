"""Reads a tar, plain or packed by gzip, zstd, bzip2 or xz, whose maker may be hostile.

A packed one is unpacked into a scratch file first, within the bounds, so that its members can be read in any order and
again. `tarfile` lists the members and is never asked to extract.
"""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from bundles.intake.archives.members import (
    FILE,
    FOLDER,
    LINK,
    MIB,
    SPECIAL,
    ArchiveError,
    ArchiveLimits,
    Kind,
    Member,
    bounded,
    require_within,
)
from bundles.intake.archives.names import with_faults
from bundles.intake.archives.packed import DAMAGES, unpacker

BLOCK_BYTES = MIB
READ_BYTES = 64 * 1024
LONGEST_HEADER = 16 * MIB
NAME_ERRORS = "surrogateescape"


class _ShortReads(io.RawIOBase):
    """A file that refuses one read of a huge header, which `tarfile` would hold in memory."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_HEADER:
            raise tarfile.ReadError("header too large")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


class TarArchive:
    """See `members.Archive`.

    Args:
        path: the file.
        scratch: a file for the unpacked tar; not made for a plain one.
        check: called often; raises to stop the work.
        limits: of the archive.

    Raises:
        ArchiveError: `archive_damaged` or `archive_too_large`.
    """

    def __init__(
        self, path: Path, scratch: Path, *, check: Callable[[], None], limits: ArchiveLimits | None = None
    ) -> None:
        self._limits = limits or ArchiveLimits()
        self.cut = ""
        self._plain = self._unpacked(path, scratch, check)
        self._infos: list[tarfile.TarInfo] = []
        listed = list(self._listed(check))
        require_within(listed, path.stat().st_size, self._limits)
        self._members = with_faults(listed)

    def members(self) -> list[Member]:
        """See `members.Archive`."""
        return self._members

    def read(self, member: Member) -> Iterator[bytes]:
        """See `members.Archive`."""
        info = self._infos[member.index]
        with self._plain.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            info.tarfile = tar
            content = tar.extractfile(info)
            if content is None:
                raise ArchiveError("archive_member_damaged", "It has no content.")
            try:
                yield from bounded(iter(lambda: content.read(BLOCK_BYTES), b""), info.size)
            except (tarfile.TarError, OSError):
                raise ArchiveError("archive_member_damaged", "The archive ends within it.") from None

    def _listed(self, check: Callable[[], None]) -> Iterator[Member]:
        with self._plain.open("rb") as file:
            size = self._plain.stat().st_size
            try:
                tar = tarfile.open(fileobj=_ShortReads(file), mode="r:", errors=NAME_ERRORS)  # noqa: SIM115
                while info := tar.next():
                    check()
                    tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all, and their pax headers
                    self._infos.append(info)
                    if len(self._infos) > self._limits.members:
                        raise ArchiveError("archive_too_large", f"It has more than {self._limits.members} members.")
                    member = self._member(len(self._infos) - 1, info, size)
                    info.pax_headers = {}  # not needed to read its content, and as large as its maker likes
                    yield member
                file.seek(tar.offset)
                mark = file.read(tarfile.BLOCKSIZE)
                if any(mark):  # `tarfile` takes a damaged header for the end
                    self.cut = f"Its list of members is damaged after member {len(self._infos)}."
                elif len(mark) < tarfile.BLOCKSIZE:
                    self.cut = "It has no mark at its end: members may be missing there."
            except (tarfile.TarError, OSError, ValueError, RecursionError, OverflowError):
                if not self._infos:
                    raise ArchiveError("archive_damaged", "It is no tar that can be read.") from None
                self.cut = f"Its list of members is damaged after member {len(self._infos)}."

    def _member(self, index: int, info: tarfile.TarInfo, archive_bytes: int) -> Member:
        raw = info.name.encode("utf-8", NAME_ERRORS)
        kind = _kind(info)
        attributes: dict[str, str | int] = {"mode": f"{stat.S_IMODE(info.mode):04o}", "uid": info.uid, "gid": info.gid}
        attributes |= {name: value for name, value in (("owner", info.uname), ("group", info.gname)) if value}
        if info.islnk():
            attributes["link"] = "hard"
        if info.sparse:
            attributes["sparse"] = "yes"
        unreadable = ""
        if len(raw) > self._limits.name_bytes:
            unreadable = f"its name is longer than {self._limits.name_bytes} bytes"
        elif kind == FILE and not info.sparse and info.offset_data + info.size > archive_bytes:
            unreadable = "the archive ends within it"
        return Member(
            index=index,
            raw_name=raw[: self._limits.name_bytes],
            name=raw.decode("utf-8", "backslashreplace")[: self._limits.name_bytes],
            kind=kind,
            size=info.size if kind == FILE else 0,
            modified=_time(info.mtime),
            times={name: _time(text) for name, text in _pax_times(info) if _time(text)},
            attributes=attributes,
            target=info.linkname.encode("utf-8", NAME_ERRORS).decode("utf-8", "backslashreplace")[:4096],
            unreadable=unreadable,
        )

    def _unpacked(self, path: Path, scratch: Path, check: Callable[[], None]) -> Path:
        with path.open("rb") as file:
            unpack = unpacker(file.read(6))
            if unpack is None:
                return path
            file.seek(0)
            most = min(
                self._limits.total_bytes, max(self._limits.ratio_from_bytes, path.stat().st_size * self._limits.ratio)
            )
            # Several readers of one file share the scratch file, so it appears complete, and is never written again.
            writing = scratch.with_name(f"{scratch.name}.{uuid4().hex}")
            try:
                with writing.open("xb") as out:
                    self._unpack(unpack(file), out, most, check)
                writing.replace(scratch)
            finally:
                writing.unlink(missing_ok=True)
        return scratch

    def _unpack(self, blocks: Iterator[bytes], out: BinaryIO, most: int, check: Callable[[], None]) -> None:
        size = 0
        try:
            for block in blocks:
                check()
                size += len(block)
                if size > most:
                    raise ArchiveError("archive_too_large", f"It unpacks to more than {most} bytes.")
                out.write(block)
        except DAMAGES as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk, not of the data
            if not size:
                raise ArchiveError("archive_damaged", "It cannot be unpacked.") from None
            self.cut = f"It is damaged or cut off: it unpacks to {size} bytes only."


def _kind(info: tarfile.TarInfo) -> Kind:
    if info.isdir():
        return FOLDER
    if info.issym() or info.islnk():
        return LINK
    return FILE if info.isreg() else SPECIAL


def _time(seconds: float | str) -> str:
    """Seconds since 1970 as RFC 3339 in UTC; empty for 0 and what is no time."""
    try:
        value = float(seconds)
        if not value:
            return ""
        return datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def _pax_times(info: tarfile.TarInfo) -> Iterator[tuple[str, str]]:
    for name, key in (("accessed", "atime"), ("changed", "ctime"), ("created", "LIBARCHIVE.creationtime")):
        if key in info.pax_headers:
            yield name, str(info.pax_headers[key])
