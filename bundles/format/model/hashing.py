"""SHA-256 on a thread of its own: a lane hashes its blocks in order while the caller continues.

hashlib releases the interpreter lock for large blocks, so a lane runs on another core. At most `DEPTH` blocks wait in
it, so memory stays bounded. An error in the thread is raised at the caller's next call.
"""

from __future__ import annotations

import hashlib
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Protocol, Self

DEPTH = 4
INLINE_BYTES = 128 * 1024  # handing over a block costs about as much as hashing this much


class Hash(Protocol):
    """Hashes bytes in order, like the objects of hashlib."""

    def update(self, block: bytes | memoryview, /) -> None:
        """Hash the next bytes."""

    def hexdigest(self) -> str:
        """The digest (hex) of all bytes so far."""


class HashLane:
    """Computes SHA-256 digests, one after the other, on one thread in the order of the calls.

    The two queues are C code that hands a block over in a microsecond. An executor's futures take ten times as long,
    holding the interpreter's lock, which the other threads wait for.

    Args:
        hashes: hashes the blocks; SHA-256 by default.
    """

    def __init__(self, hashes: Hash | None = None) -> None:
        self._hash: Hash = hashes or hashlib.sha256()
        self._waiting = 0
        self._failure: BaseException | None = None
        self._blocks: SimpleQueue[bytes | memoryview | None] = SimpleQueue()
        self._done: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Use the lane."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread after the blocks that wait."""
        if self._thread is not None:
            self._blocks.put(None)
            self._thread.join()
            self._thread = None

    def update(self, block: bytes | memoryview) -> None:
        """Hash the next block, which must not change until the digest was read."""
        if len(block) <= INLINE_BYTES and not self._waiting:
            self._hash.update(block)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sha256")
            self._thread.start()
        while self._waiting >= DEPTH:
            self._wait()
        self._waiting += 1
        self._blocks.put(block)

    def hexdigest(self) -> str:
        """The digest (hex) of everything since the last `finish`."""
        while self._waiting:
            self._wait()
        return self._hash.hexdigest()

    def finish(self) -> str:
        """The digest (hex) of everything since the last `finish`; the next block starts a new one."""
        digest = self.hexdigest()
        self._hash = hashlib.sha256()
        return digest

    def _wait(self) -> None:
        self._done.get()
        self._waiting -= 1
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            try:
                if self._failure is None:
                    self._hash.update(block)
            except BaseException as error:  # noqa: BLE001 # raised where the lane is used
                self._failure = error
            self._done.put(None)


class FileLanes:
    """Two lanes that hash one file after the other: the whole file, and its chunks."""

    def __init__(self) -> None:
        self.whole = HashLane()
        self.chunks = HashLane()

    def __enter__(self) -> Self:
        """Use the lanes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End both threads."""
        self.whole.__exit__(kind, error, trace)
        self.chunks.__exit__(kind, error, trace)
