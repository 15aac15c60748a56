"""A child process that is forked after the product is loaded: it starts at once and shares that memory.

Only a process without other threads may fork: a lock that another thread holds at that moment would stay locked in the
child for ever. The supervisor has one thread.
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

HANDLED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
POLL_S = 0.02
_MAX_NAME_CHARS = 15  # of a process, in the kernel


class Forked:
    """One child process.

    Args:
        name: what process lists show, such as `orch-worker-0`.
        run: what it does; returns its exit code.

    Attributes:
        pid: its process id.
    """

    def __init__(self, name: str, run: Callable[[], int]) -> None:
        if threading.active_count() > 1:
            raise RuntimeError("a process with threads must not fork")
        self._code: int | None = None
        before = set(signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS))  # until the child resets its handlers
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            self.pid = os.fork()
            if not self.pid:
                _run_child(name, run, before)
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
            time.sleep(POLL_S)
        return self._code

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:  # until it is waited for, no other process has its id
            os.kill(self.pid, number)


def _run_child(name: str, run: Callable[[], int], mask: set[int | signal.Signals]) -> None:
    """Run `run` in the child and exit with its code; never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in HANDLED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with contextlib.suppress(OSError):
            Path("/proc/self/comm").write_text(name[:_MAX_NAME_CHARS])
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        code = run()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 # the child must not return into the parent's stack
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
