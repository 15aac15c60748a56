"""The processes that `make run` and `make demo` start: each with its log, all stopped together.

A child runs in a session of its own, so that Ctrl-C reaches only the parent, which then stops the others in order. If
the parent is killed outright, the kernel tells the children to stop (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator_site.env import BASE_DIR

STOP_S = 15.0
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Children:
    """Starts management commands as processes and stops them in the reverse order."""

    def __init__(self, log_dir: Path) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._log_dir = log_dir
        self._environ = dict(os.environ)
        self._started: list[tuple[str, subprocess.Popen[bytes]]] = []

    def environ(self, more: Mapping[str, str]) -> None:
        """Give the children that are started from now on these variables too."""
        self._environ.update(more)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start `manage.py <arguments>`, its output going to `<name>.log`."""
        with self.log_of(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
                cwd=BASE_DIR,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 # this process starts no threads before its children
            )
        self._started.append((name, process))

    def ended(self) -> str:
        """The name of a child that has ended by itself; empty while all run."""
        return next((name for name, process in self._started if process.poll() is not None), "")

    def log_of(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._log_dir / f"{name}.log"

    def stop(self) -> None:
        """Ask all to stop, last started first, and wait; kill what does not."""
        for _, process in reversed(self._started):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for _, process in reversed(self._started):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._started.clear()


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
