"""Leaving in time: SIGTERM, SIGINT or the supervisor's death become one event that everything waits on.

A thread watches, not a Python signal handler: it also runs while the handler is busy inside a C library. When the
handler does not leave by itself, the thread gives the job back and ends the process.
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
    """One process's wish to stop.

    Attributes:
        event: set once it is wished.
        fileno: readable from then on, for `select` and `poll`.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.fileno, self._told = os.pipe2(os.O_CLOEXEC)

    def ask(self) -> None:
        """Wish to stop; again is no harm."""
        if not self.event.is_set():
            self.event.set()
            os.write(self._told, b".")

    def on_signals(self) -> int:
        """Let the signals write to a pipe, from C; returns its reading end. Only in the main thread."""
        return pipe_of(*SIGNALS)


def pipe_of(*numbers: signal.Signals) -> int:
    """Let these signals write their number to a pipe, from C; returns its reading end. Only in the main thread."""
    readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return readable


def watch(stop: Stop, signals: int, *, life: int | None = None, leave: Callable[[], None] | None = None) -> None:
    """Start the thread that watches for signals and for the supervisor's death.

    Args:
        stop: what to ask.
        signals: from `Stop.on_signals`.
        life: reading end of a pipe that only the supervisor can write to, if there is one.
        leave: called when the process is still there some seconds after; it must end it.
    """

    def wait() -> None:
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        if life is not None:
            poll.register(life, 0)  # only whether the other end is gone; what is in it is for the worker
        while not _asked_to_stop(poll, signals):
            pass
        stop.ask()
        time.sleep(GRACE_S)
        if leave is not None:
            leave()

    threading.Thread(target=wait, name="stopping", daemon=True).start()


def _asked_to_stop(poll: select.poll, signals: int) -> bool:
    return any(fd != signals or set(os.read(signals, 64)) & set(SIGNALS) for fd, _ in poll.poll())
