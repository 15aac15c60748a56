"""Finds what is in a folder, and describes each entry as its record does.

No link is followed, and nothing but regular files is ever opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

from bundles.format.model.records import FILE_TYPE
from bundles.format.writing import birth_time
from bundles.format.writing.instants import utc_text

FILE, FOLDER, LINK = "file", "folder", "link"
_TYPES = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: LINK,
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}
_DEVICES = {"character device", "block device"}
_IN_WORDS = {"fifo": "FIFO"}
# Without O_NONBLOCK, opening a FIFO that took the place of a file would wait for its writer.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """An entry of a folder.

    Attributes:
        relative: its path below the folder, parts joined by `/`; as `os` gives it, so a byte that is not UTF-8 is a
            lone surrogate.
        location: where it is.
        status: from `lstat`.
        file_type: `file`, `folder`, `link`, `fifo`, `socket`, `character device`, `block device` or `unknown`.
        target: of a link, as `relative`; else empty.
    """

    relative: str
    location: Path
    status: os.stat_result
    file_type: str
    target: str = ""

    @property
    def size(self) -> int:
        """Bytes of a file."""
        return self.status.st_size

    @property
    def in_words(self) -> str:
        """Path and kind for a message: `'etc/x' (link to '../y')`."""
        kind = _IN_WORDS.get(self.file_type, self.file_type)
        return f"{self.relative!r} ({kind} to {self.target!r})" if self.target else f"{self.relative!r} ({kind})"

    def facts(self) -> dict[str, Any]:
        """The fields of the entry's record that come from the file system.

        Times are UTC in RFC 3339, with nine decimals unless they are zero. What the system does not tell is left out.
        """
        found = self.status
        made: dict[str, Any] = {"mode": f"{stat.S_IMODE(found.st_mode):04o}", "uid": found.st_uid, "gid": found.st_gid}
        names = {"user": _user(found.st_uid), "group": _group(found.st_gid)}
        times = {"mtime": found.st_mtime_ns, "birth_time": birth_time.of(self.location, found)}
        made.update({key: name for key, name in names.items() if name is not None})
        made.update({key: utc_text(moment) for key, moment in times.items() if moment is not None})
        if self.file_type != FILE:
            made[FILE_TYPE] = self.file_type
        if self.file_type == LINK:
            made["target"] = record_text(self.target)
        if self.file_type in _DEVICES:
            made["device"] = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        return made

    def open(self) -> FileIO:
        """Open a file at its start, if it is still the one that was found.

        Raises:
            OSError: it cannot be opened, or something else took its place.
        """
        descriptor = os.open(self.location, _OPEN_FLAGS)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or not os.path.samestat(found, self.status):
            os.close(descriptor)
            raise OSError(errno.ESTALE, "it was replaced while the folder was read", str(self.location))
        return FileIO(descriptor, "rb")


def walk(folder: Path, *, below: str = "", leave_out: Path | None = None) -> Iterator[Entry]:
    """Every entry below `folder`, sorted within each folder; of folders only the empty ones.

    Args:
        folder: what paths are relative to; it is no entry itself.
        below: only what is below this path in it.
        leave_out: a folder that is not entered, such as a working directory.

    Raises:
        OSError: a folder cannot be read, or an entry is gone.
    """
    skipped = leave_out.lstat() if leave_out is not None else None
    waiting = [folder / below]
    while waiting:  # not `os.walk`, which before Python 3.12 reaches its limit of recursion in deep folders
        here = waiting.pop()
        with os.scandir(here) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        inner = [here / entry.name for entry in folders]
        if skipped is not None:
            inner = [one for one in inner if not os.path.samestat(one.lstat(), skipped)]
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield _entry(folder, here / entry.name)
        if not entries and here != folder / below:
            yield _entry(folder, here)
        waiting.extend(reversed(inner))


def record_text(text: str) -> str:
    """A name or path as a record holds it: each byte that is not UTF-8 is a lone surrogate U+DC80 to U+DCFF.

    So `text.encode("utf-8", "surrogateescape")` gives the bytes back, whatever the locale of this process.
    """
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def _entry(folder: Path, location: Path) -> Entry:
    found = location.lstat()
    file_type = _TYPES.get(stat.S_IFMT(found.st_mode), "unknown")
    target = os.readlink(location) if file_type == LINK else ""  # noqa: PTH115 # a Path would drop `./` and `//`
    return Entry(location.relative_to(folder).as_posix(), location, found, file_type, target)


@cache
def _user(uid: int) -> str | None:
    try:
        import pwd  # not on every system

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return None


@cache
def _group(gid: int) -> str | None:
    try:
        import grp  # not on every system

        return grp.getgrgid(gid).gr_name
    except (ImportError, KeyError):
        return None
