"""Shutdown in time: SIGTERM, SIGINT or the supervisor's death set one event that everything waits on.

A thread watches for them, not a Python signal handler: it also runs while a job's handler is busy inside a C library.
When that handler does not return in time, the thread releases the job and ends the process.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable

GRACE_S = 7.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """The request that one process stops.

    Attributes:
        event: set once it is requested.
        fileno: readable from then on, for `select` and `poll`.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.fileno, self._writable = os.pipe2(os.O_CLOEXEC)

    def request(self) -> None:
        """Request it; a second call changes nothing."""
        if not self.event.is_set():
            self.event.set()
            os.write(self._writable, b".")

    def on_signals(self) -> int:
        """Let SIGTERM and SIGINT write to a pipe, from C; returns its reading end. Only in the main thread."""
        return pipe_of(*SIGNALS)


def pipe_of(*numbers: signal.Signals) -> int:
    """Let these signals write their number to a pipe, from C; returns its reading end. Only in the main thread."""
    readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return readable


def watch(stop: Stop, signals: int, *, parent_pipe: int | None = None, leave: Callable[[], None] | None = None) -> None:
    """Start the thread that watches for signals and for the supervisor's death.

    Args:
        stop: requested when one of them comes.
        signals: from `Stop.on_signals`.
        parent_pipe: reading end of a pipe that closes when the supervisor dies, if there is a supervisor.
        leave: called when the process still runs `GRACE_S` seconds later; must end it.
    """

    def wait() -> None:
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        if parent_pipe is not None:
            poll.register(parent_pipe, 0)  # reports only that the other end is closed
        while not _asked_to_stop(poll, signals):
            pass
        stop.request()
        time.sleep(GRACE_S)
        if leave is not None:
            leave()

    threading.Thread(target=wait, name="shutdown", daemon=True).start()


def _asked_to_stop(poll: select.poll, signals: int) -> bool:
    return any(fd != signals or set(os.read(signals, 64)) & set(SIGNALS) for fd, _ in poll.poll())
