"""SHA-256 beside the caller: a lane hashes its blocks in order on a thread of its own.

hashlib releases the interpreter lock for large blocks, so a lane runs on another core while the caller goes on. At most
a few blocks wait in it, so memory stays bounded; what goes wrong in the thread is raised at the caller's next call.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

DEPTH = 3
INLINE_BYTES = 128 * 1024  # handing over a block costs about as much as hashing this much


class HashLane:
    """One or many SHA-256 digests, one after the other, computed on one thread in the order of the calls."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._waiting: deque[Future[None]] = deque()
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        """Use the lane."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread; blocks that wait are dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def update(self, block: bytes | memoryview) -> None:
        """Hash `block` after those before it; it must not change until the digest was read."""
        if len(block) <= INLINE_BYTES and not self._waiting:
            self._hash.update(block)
            return
        while len(self._waiting) >= DEPTH:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._hash.update, block))

    def hexdigest(self) -> str:
        """The digest (hex) of everything since the last `finish`."""
        while self._waiting:
            self._waiting.popleft().result()
        return self._hash.hexdigest()

    def finish(self) -> str:
        """The digest (hex) of everything since the last `finish`; the next block starts a new one."""
        digest = self.hexdigest()
        self._hash = hashlib.sha256()
        return digest


class FileLanes:
    """The two lanes on which one file after the other is hashed: the whole, and its chunks."""

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
