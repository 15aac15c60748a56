"""What the members of an archive are, for zip and tar alike, and the bounds on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, Protocol

MIB = 1024 * 1024
GIB = 1024 * MIB

Kind = Literal["file", "folder", "link", "special"]
FILE: Literal["file"] = "file"
FOLDER: Literal["folder"] = "folder"
LINK: Literal["link"] = "link"
SPECIAL: Literal["special"] = "special"


class ArchiveError(Exception):
    """The archive, or one of its members, cannot be read.

    Attributes:
        code: stable; one of those that this package lists.
    """

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """Bounds of an archive.

    Attributes:
        members: most members; a bundle lists at most 200,000 files.
        directory_bytes: size of a zip's central directory.
        name_bytes: length of a member's name; longer ones are left out.
        member_bytes: unpacked size of one member.
        total_bytes: unpacked size of all members.
        ratio: unpacked size as a multiple of the archive's own size, above `ratio_from_bytes`.
        ratio_from_bytes: what is smaller unpacked may have any ratio.
    """

    members: int = 199_000
    directory_bytes: int = 128 * MIB
    name_bytes: int = 4096
    member_bytes: int = 4096 * GIB
    total_bytes: int = 4096 * GIB
    ratio: int = 1_100
    ratio_from_bytes: int = 256 * MIB


@dataclass(frozen=True, kw_only=True)
class Member:
    r"""One member, as the archive describes it. Nothing of it is trusted.

    Attributes:
        index: its place in the archive's list, from 0.
        raw_name: its name's bytes.
        name: its name as text; bytes that are no text in its encoding are `\xHH`.
        kind: `file`, `folder`, `link` or `special` (device, FIFO, a kind that is not known).
        size: unpacked bytes as the archive says.
        modified: RFC 3339 in UTC, or without a zone if the archive has none; empty if it says nothing.
        times: further times by name, such as `created` and `accessed`, in the same form.
        attributes: what else the archive says, such as `mode`, `owner` and `method`.
        target: where a link points.
        faults: sentences on what is odd about it, such as an absolute name.
        unreadable: why its content cannot be read at all, as a sentence; empty if it can be tried.
    """

    index: int
    raw_name: bytes
    name: str
    kind: Kind
    size: int
    modified: str = ""
    times: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str | int] = field(default_factory=dict)
    target: str = ""
    faults: tuple[str, ...] = ()
    unreadable: str = ""


class Archive(Protocol):
    """An opened archive.

    Attributes:
        cut: why not all members could be listed, as a sentence; empty if all were.
    """

    cut: str

    def members(self) -> list[Member]:
        """All members in the archive's order, with faults of names found (see `names.with_faults`)."""
        ...

    def read(self, member: Member) -> Iterator[bytes]:
        """The content of a file, in pieces.

        Raises:
            ArchiveError: `archive_member_damaged`, `archive_password_missing`, `archive_password_wrong`,
                `archive_method_unknown`: of this member only.
        """
        ...


def require_within(members: Iterable[Member], packed_bytes: int, limits: ArchiveLimits) -> None:
    """Check what the members say of their sizes against the bounds.

    Raises:
        ArchiveError: `archive_too_large`.
    """
    total = 0
    for member in members:
        total += member.size
        if member.size > limits.member_bytes:
            raise ArchiveError(
                "archive_too_large",
                f"Member {member.index + 1} has {member.size} bytes; at most {limits.member_bytes} are read.",
            )
    if total > limits.total_bytes:
        raise ArchiveError(
            "archive_too_large", f"Its members have {total} bytes; at most {limits.total_bytes} are read."
        )
    if total > limits.ratio_from_bytes and total > packed_bytes * limits.ratio:
        raise ArchiveError(
            "archive_too_large",
            f"Its members have {total} bytes, more than {limits.ratio} times its own {packed_bytes}: it is taken for "
            "a decompression bomb.",
        )


def bounded(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The pieces, which must be exactly `size` bytes.

    Raises:
        ArchiveError: `archive_member_damaged`: there are fewer or more.
    """
    left = size
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise ArchiveError("archive_member_damaged", f"It unpacks to more than the {size} bytes that it states.")
        yield piece
    if left:
        raise ArchiveError("archive_member_damaged", f"It ends after {size - left} of {size} bytes.")


def blocks(file: BinaryIO, start: int, end: int, block_bytes: int = 256 * 1024) -> Iterator[bytes]:
    """The bytes of a file from `start` to `end`, in blocks."""
    file.seek(start)
    while start < end and (block := file.read(min(block_bytes, end - start))):
        start += len(block)
        yield block
