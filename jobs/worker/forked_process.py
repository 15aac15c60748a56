"""A process that is forked from this one, which has loaded everything: it starts at once and shares that memory.

Only a process without other threads may fork: a lock that another thread holds at that moment would stay locked in the
child for ever. The supervisor has none.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
LOOK_S = 0.02
_KERNELS_NAME_CHARS = 15


class Forked:
    """One child process.

    Args:
        name: what process lists show, such as `orch-worker-0`.
        run: what it does; returns its exit code.

    Attributes:
        pid: its number.
    """

    def __init__(self, name: str, run: Callable[[], int]) -> None:
        if threading.active_count() > 1:
            raise RuntimeError("a process with threads must not fork")
        self._code: int | None = None
        before = set(signal.pthread_sigmask(signal.SIG_BLOCK, OURS))  # none may meet the parent's handlers in the child
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            self.pid = os.fork()
            if not self.pid:
                _be_the_child(name, run, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def poll(self) -> int | None:
        """Its exit code, negative for the signal that ended it; `None` while it runs."""
        if self._code is None:
            ended, how = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self._code = os.waitstatus_to_exitcode(how)
        return self._code

    def wait(self, timeout: float) -> int | None:
        """`poll`, for at most `timeout` seconds."""
        give_up_at = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < give_up_at:
            time.sleep(LOOK_S)
        return self._code

    def terminate(self) -> None:
        """Ask it to leave."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:  # until it is waited for, its number is no other's
            os.kill(self.pid, number)


def _be_the_child(name: str, run: Callable[[], int], mask: set[int | signal.Signals]) -> None:
    """Run as a process of its own; never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in OURS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with contextlib.suppress(OSError):
            Path("/proc/self/comm").write_text(name[:_KERNELS_NAME_CHARS])
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        code = run()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 # nothing of the parent's stack may run in the child
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
