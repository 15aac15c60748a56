"""The file into which an artifact's content is received: hashed as it grows, and journalled, to be continued.

Bytes are hashed in a thread of their own once there are more than a few, as hashing takes as long as receiving.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bundles.storage.journal import Journal

LEAST_MARK_BYTES, MOST_MARK_BYTES = 64 * 1024, 1024 * 1024  # received bytes that a kill may cost
MARKS = 1024  # of one content, if it is neither small nor large
THREAD_FROM_BYTES = 512 * 1024
READ_BYTES = 256 * 1024
HELD_PIECES = 8


class ReceivedFile:
    """A content as sent, as far as it came.

    Args:
        file: where it is or will be.
        journal: of the folder.
        key: of the content in the journal.
        size: of the whole in bytes, if known.

    Attributes:
        at: bytes received so far.
        tag, encoding, whole: of the answers that they came from, see `http_content.HttpContent`.
    """

    def __init__(self, file: Path, journal: Journal, key: str, size: int | None) -> None:
        self._journal, self._key = journal, key
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._hash = hashlib.sha256()
        self._mark_bytes = min(MOST_MARK_BYTES, max(LEAST_MARK_BYTES, (size or 0) // MARKS))
        self._marked = 0
        self._hashed = 0
        self._failed: BaseException | None = None
        self._pieces: queue.Queue[bytes | None] = queue.Queue(HELD_PIECES)
        self._thread: threading.Thread | None = None
        self.at = 0
        self.tag, self.encoding = "", ""
        self.whole: int | None = None
        self._continue(journal.get("part", key))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()
        os.close(self._descriptor)

    def begin(self, tag: str, encoding: str, whole: int | None) -> None:
        """Note of which answer the next bytes are."""
        self.tag, self.encoding = tag, encoding
        self.whole = self.whole if whole is None else whole

    def write(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            OSError: they cannot be written.
        """
        self._raise()
        view = memoryview(piece)
        while view:
            written = os.pwrite(self._descriptor, view, self.at)
            view = view[written:]
            self.at += written
        if self._thread is None and self.at < THREAD_FROM_BYTES:
            self._take(piece)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="hash")
            self._thread.start()
        self._pieces.put(piece)

    def digest(self) -> str:
        """The SHA-256 of all bytes, hex."""
        if self._thread is not None:
            self._pieces.join()
        self._raise()
        return self._hash.hexdigest()

    def restart(self) -> None:
        """Drop everything, to begin with the first byte."""
        self.digest()
        self._journal.add("part", self._key, at=0)
        self._reset()

    def _reset(self) -> None:
        os.ftruncate(self._descriptor, 0)
        self._hash = hashlib.sha256()
        self.at = self._marked = self._hashed = 0
        self.tag, self.encoding, self.whole = "", "", None

    def _continue(self, entry: dict[str, Any] | None) -> None:
        """Take what the journal says that there is, if it is there."""
        at = entry["at"] if entry else 0
        while self.at < at and (piece := os.pread(self._descriptor, min(READ_BYTES, at - self.at), self.at)):
            self._hash.update(piece)
            self.at += len(piece)
        if not at or not entry or self.at != at or self._hash.hexdigest() != entry["sha256"]:
            self._reset()
            return
        os.ftruncate(self._descriptor, at)
        self._marked = self._hashed = at
        self.tag, self.encoding, self.whole = entry["tag"], entry["encoding"], entry["whole"]

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            try:
                if self._failed is None:
                    self._take(piece)
            except BaseException as error:  # noqa: BLE001 -- raised by the next write
                self._failed = error
            finally:
                self._pieces.task_done()

    def _take(self, piece: bytes) -> None:
        self._hash.update(piece)
        self._hashed += len(piece)
        if self._hashed - self._marked >= self._mark_bytes:
            self._marked = self._hashed
            self._journal.add(
                "part", self._key, at=self._hashed, sha256=self._hash.hexdigest(), tag=self.tag,
                encoding=self.encoding, whole=self.whole,
            )  # fmt: skip

    def _raise(self) -> None:
        if self._failed is not None:
            raise self._failed
