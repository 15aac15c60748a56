"""The journal of a job's staging folder: what was fetched and checked, and need not be fetched again.

One JSON object a line, each after a check value that covers it and all lines before. A line that was not written to its
end, and everything after the first line that does not fit, is ignored and cut off. The journal says what was written to
the files beside it; whoever uses an entry compares the file with it first.

The file is locked while it is open, so two attempts never write into one folder at the same time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAME = "journal"
CHECK_DIGITS = 16
FORMAT = 1
_READ_BYTES = 1024 * 1024


class BusyError(Exception):
    """Another attempt has the journal open."""


def is_open(folder: Path) -> bool:
    """Whether a process has the journal of a folder open."""
    try:
        file = os.open(folder / NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


class Journal:
    """The open journal of a folder.

    Args:
        folder: the staging folder.
        request: what is fetched; a journal of another request is emptied, together with its folder.

    Raises:
        BusyError: another process, or another journal of this one, has it open.
        OSError: it cannot be read or written.
    """

    def __init__(self, folder: Path, request: str) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], dict[str, Any]] = {}
        self._check = ""
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._take_lock()
            os.ftruncate(self._file, self._read())
            if self.get("request", "") != {"request": request, "format": FORMAT}:
                self._empty(request)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            os.close(self._file)
            self._file = -1

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The last entry of that kind and key, or None."""
        return self._entries.get((kind, key))

    def add(self, kind: str, key: str, **entry: Any) -> None:
        """Append an entry, which takes the place of earlier ones of its kind and key.

        Raises:
            OSError: it cannot be written; what was kept before stays.
        """
        text = json.dumps([kind, key, entry], separators=(",", ":"))
        with self._lock:
            check = _check_of(self._check, text.encode())
            line = f"{check} {text}\n".encode()
            while line:  # where the disk is full, the rest of a line is refused with the reason
                line = line[os.write(self._file, line) :]
            self._check = check
            self._entries[kind, key] = entry

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(str(self.folder)) from None
        try:
            named = (self.folder / NAME).lstat()
        except FileNotFoundError:
            raise BusyError(str(self.folder)) from None
        if (named.st_dev, named.st_ino) != ((mine := os.fstat(self._file)).st_dev, mine.st_ino):
            raise BusyError(str(self.folder))  # set aside meanwhile, and another has its name

    def _read(self) -> int:
        """Read the entries; returns where the last whole one ends."""
        end, rest = 0, b""
        while piece := os.pread(self._file, _READ_BYTES, end + len(rest)):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if not self._accept(line):
                    return end
                end += len(line) + 1
        return end

    def _accept(self, line: bytes) -> bool:
        check, text = line[:CHECK_DIGITS], line[CHECK_DIGITS + 1 :]
        if check != _check_of(self._check, text).encode():
            return False
        try:
            kind, key, entry = json.loads(text)
        except ValueError:
            return False
        self._check = check.decode()
        self._entries[kind, key] = entry
        return True

    def _empty(self, request: str) -> None:
        for entry in os.scandir(self.folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name != NAME:
                Path(entry.path).unlink()
        os.ftruncate(self._file, 0)
        self._entries.clear()
        self._check = ""
        self.add("request", "", request=request, format=FORMAT)


def _check_of(before: str, text: bytes) -> str:
    return hashlib.sha256(before.encode() + text).hexdigest()[:CHECK_DIGITS]
