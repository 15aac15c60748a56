"""The processes that `make run` and `make demo` start: each with its log, all watched, all stopped together.

A child runs in a session of its own, so that Ctrl-C reaches only the parent, which then stops the others in order. If
the parent is killed outright, the kernel tells the children to stop (PR_SET_PDEATHSIG). No clock says that a child has
failed: one that lives and moves is waited for, as a busy machine may take minutes where an idle one takes seconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator_site.launch import process_activity

BASE_DIR = Path(__file__).resolve().parents[2]
STOP_S = 15.0
STUCK_S = 120.0  # without one tick of processor time, which even a starved process gets, and without a line in its log
TAIL_LINES = 15
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Child:
    """A process that was started: where its log is, and where in it this run begins; no log when it has the screen."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path | None
    begins_at: int
    may_end: bool


class Children:
    """Starts management commands as processes, says which of them has failed, and stops them in the reverse order."""

    def __init__(self, log_dir: Path) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._log_dir = log_dir
        self._environ = dict(os.environ)
        self._started: list[Child] = []
        self._moved: dict[str, tuple[object, float]] = {}

    def environ(self, more: Mapping[str, str]) -> None:
        """Give the children that are started from now on these variables too."""
        self._environ.update(more)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start `manage.py <arguments>`, its output going to `<name>.log`; it is to run until it is stopped."""
        path = self._log_dir / f"{name}.log"
        with path.open("ab") as log:
            begins_at = log.tell()  # before the child, which shares the file's position, has written anything
            process = self._popen(arguments, log.fileno())
            self._started.append(Child(name, process, path, begins_at, may_end=False))

    def start_on_screen(self, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start `manage.py <arguments>`, which says what it does to whoever looks at us, and ends by itself."""
        process = self._popen(arguments, None)
        self._started.append(Child(name, process, None, 0, may_end=True))
        return process

    def fault(self, awaited: Iterable[str] = ()) -> str:
        """Which child has failed, and its last lines; empty while there is none.

        Args:
            awaited: names of children that something waits for; one of them that does not move has failed as well.
        """
        for child in self._started:
            code = child.process.poll()
            if code is not None and not child.may_end:
                return f"{child.name} ended by itself (exit code {code}){self._end_of_log(child)}"
        for child in self._started:
            if child.name in awaited and child.process.poll() is None and self._still_for_s(child) >= STUCK_S:
                return f"{child.name} is stuck: it has done nothing for {STUCK_S:.0f} s{self._end_of_log(child)}"
        return ""

    def last_line(self, name: str) -> str:
        """The last line that a child wrote since it was started; empty when it has written nothing."""
        return next((lines[-1] for one in self._started if one.name == name and (lines := _lines(one))), "")

    def stop(self) -> None:
        """Ask all to stop, last started first, and wait; kill what does not."""
        for child in reversed(self._started):
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for child in reversed(self._started):
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
        self._started.clear()

    def _popen(self, arguments: Sequence[str], output: int | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            env=self._environ,
            cwd=BASE_DIR,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 # one system call, which no lock of another thread can hold up
        )

    def _still_for_s(self, child: Child) -> float:
        """For how long the child has neither used the processor nor written, as far as it was looked at."""
        now = time.monotonic()
        state = (process_activity.processor_ticks(child.process.pid), child.log and child.log.stat().st_size)
        before, since = self._moved.get(child.name, (None, now))
        if state != before:
            since = now
        self._moved[child.name] = state, since
        return now - since

    def _end_of_log(self, child: Child) -> str:
        lines = _lines(child)[-TAIL_LINES:]
        return f"; the end of {child.log}:\n" + "\n".join(lines) if lines else f"; its log, {child.log}, is empty"


def _lines(child: Child) -> list[str]:
    """What the child has written in this run: logs are kept from run to run."""
    if child.log is None:
        return []
    with child.log.open("rb") as log:
        log.seek(child.begins_at)
        return [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
