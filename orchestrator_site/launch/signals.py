"""Sleeping until a signal comes: Ctrl-C, the wish to stop, or the end of a child. Nothing is polled."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable

STOPS = (signal.SIGINT, signal.SIGTERM)


class SignalWait:
    """Takes over this process's signals; only its main thread may make it and wait.

    Attributes:
        stop_asked: whether SIGINT or SIGTERM has come.
    """

    def __init__(self) -> None:
        self.stop_asked = False
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the byte in the pipe is what wakes
        for number in STOPS:
            signal.signal(number, self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # blocked while nobody could handle them

    def wait(self, for_s: float | None = None) -> None:
        """Sleep until a signal comes, for `for_s` seconds at most; one that came since the last wait counts."""
        if select.select([self._woken], [], [], for_s)[0]:
            os.read(self._woken, 4096)

    def wait_until(self, met: Callable[[], object]) -> None:
        """Sleep until a signal has made `met` true, or a stop was asked for."""
        while not self.stop_asked and not met():
            self.wait()

    def _stop(self, number: int, frame: object) -> None:
        del number, frame
        self.stop_asked = True
