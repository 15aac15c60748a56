"""Deadlines that also hold for a source that sends one byte at a time.

A socket timeout starts again with every byte, so a response could take forever. Here every read of a connection,
including headers, uses up one allowance for the whole exchange. Only time spent waiting for the source counts, not the
time between two reads.

All waits are short steps, between which the check of `stopped_by` runs: cancelling, shutting down and a lost lease end
a wait for a source that sends nothing.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

STEP_S = 0.25  # longest wait between two checks whether the work must stop
BUFFER_BYTES = 64 * 1024  # a small content comes with its head in one read

_check: ContextVar[Callable[[], None]] = ContextVar("check of the work that waits", default=lambda: None)


@contextmanager
def stopped_by(check: Callable[[], None]) -> Iterator[None]:
    """While the block runs, let `check` end every wait of this thread by raising."""
    before = _check.set(check)
    try:
        yield
    finally:
        _check.reset(before)


def look() -> None:
    """Run the check of `stopped_by`, which raises when this thread's work must stop."""
    _check.get()()


def pause(seconds: float) -> None:
    """Wait, unless the check of `stopped_by` raises."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        look()
        time.sleep(min(left, STEP_S))


class Allowance:
    """The seconds that an exchange may still wait for the source.

    Args:
        stall_s: longest wait for the next byte.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._left_s = 0.0

    def grant(self, total_s: float) -> None:
        """Start an exchange that may wait `total_s` seconds in all."""
        self._left_s = total_s

    def next_timeout_s(self) -> float:
        """The timeout for the next read.

        Raises:
            TimeoutError: nothing is left.
        """
        if self._left_s <= 0:
            raise TimeoutError("the exchange took longer than it may in all")
        return min(self._stall_s, self._left_s)

    def spend(self, seconds: float) -> None:
        """Subtract a wait."""
        self._left_s -= seconds


class Pace:
    """Keeps requests apart, over all threads of this process.

    Args:
        requests_per_s: most requests a second; no limit if None.
    """

    def __init__(self, requests_per_s: float | None) -> None:
        self._apart_s = 1 / requests_per_s if requests_per_s else 0.0
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for the turn of one request."""
        if not self._apart_s:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._apart_s
        pause(turn - now)


_paces: dict[tuple[str, float | None], Pace] = {}


def pace_of(system: str, requests_per_s: float | None) -> Pace:
    """The pace of a system, one for all its clients in this process."""
    return _paces.setdefault((system, requests_per_s), Pace(requests_per_s))


class _AllowedReader(io.RawIOBase):
    """Reads a socket within an allowance."""

    def __init__(self, connected: socket.socket, allowance: Allowance) -> None:
        super().__init__()
        self._socket = connected
        self._inner = connected.makefile("rb", buffering=0)  # keeps the socket open until this reader is closed
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        until = time.monotonic() + self._allowance.next_timeout_s()
        while True:
            began = time.monotonic()
            if began >= until:
                raise TimeoutError("the source sends nothing")
            self._socket.settimeout(min(STEP_S, until - began))
            try:
                return self._socket.recv_into(buffer)
            except TimeoutError:
                _check.get()()
            finally:
                self._allowance.spend(time.monotonic() - began)

    def close(self) -> None:
        self._inner.close()
        super().close()


class _AllowedSocket:
    """A connected socket whose file object, which http.client reads from, uses the allowance."""

    def __init__(self, connected: socket.socket, allowance: Allowance) -> None:
        self._socket = connected
        self._allowance = allowance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def makefile(self, *_args: Any, **_options: Any) -> io.BufferedReader:
        return io.BufferedReader(_AllowedReader(self._socket, self._allowance), BUFFER_BYTES)


class AllowanceAdapter(HTTPAdapter):
    """A transport of `requests` that never retries and uses an allowance.

    Attributes:
        connected: how many connections it has made.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self.connected = 0
        super().__init__(max_retries=0, pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 -- the signature is that of requests
        """Make pools whose connections use the allowance."""
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._allowance, self._count)

    def _count(self) -> None:
        self.connected += 1


def _pool_classes(allowance: Allowance, connected: Callable[[], None]) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            connected()
            self.sock = cast("socket.socket", _AllowedSocket(cast("socket.socket", self.sock), allowance))

    class Encrypted(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            connected()
            self.sock = cast("socket.socket", _AllowedSocket(cast("socket.socket", self.sock), allowance))

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
