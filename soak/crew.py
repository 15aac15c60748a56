"""The workers of a chaos run: `manage.py run_orch_worker` processes as on two hosts, watched and replaced from outside.

A service manager would start a supervisor again that died; `keep_up` does so here.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from orchestrator_site.configuration.env import BASE_DIR

HOSTS = 2
WORKERS_A_HOST = 2
LEAVES_WITHIN_S = 20.0


class Crew:
    """Two supervisors with two worker processes each; their output goes to `log`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._supervisors: list[psutil.Popen] = []
        self._strays: dict[int, psutil.Process] = {}

    def keep_up(self) -> None:
        """Start what is missing."""
        self._supervisors = [one for one in self._supervisors if one.poll() is None]
        while len(self._supervisors) < HOSTS:
            with self._log.open("ab") as log:
                command = [sys.executable, "manage.py", "run_orch_worker", "--concurrency", str(WORKERS_A_HOST)]
                self._supervisors.append(
                    psutil.Popen(command, cwd=BASE_DIR, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )
        for one in self.workers():
            self._strays[one.pid] = one

    def supervisors(self) -> list[psutil.Process]:
        """The supervisors that live."""
        return [one for one in self._supervisors if one.poll() is None]

    def workers(self) -> list[psutil.Process]:
        """The worker processes that live, frozen ones too."""
        found: list[psutil.Process] = []
        for one in self.supervisors():
            with contextlib.suppress(psutil.Error):
                found += [child for child in one.children() if child.name().startswith("orch-worker")]
        return sorted(found, key=lambda one: one.pid)

    def stop(self) -> list[str]:
        """Wake all, ask all to leave, kill who does not; what was wrong with how they left."""
        everyone: dict[int, psutil.Process] = {**self._strays, **{one.pid: one for one in self.supervisors()}}
        for one in self.workers():
            everyone[one.pid] = one
        _tell(everyone.values(), signal.SIGCONT)
        _tell(self.supervisors(), signal.SIGTERM)
        _, alive = psutil.wait_procs(list(everyone.values()), timeout=LEAVES_WITHIN_S)
        _tell(alive, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=5)
        return [f"process {one.pid} did not leave within {LEAVES_WITHIN_S:.0f} s of SIGTERM" for one in alive]


def _tell(processes: object, number: signal.Signals) -> None:
    for one in list(processes):  # type: ignore[call-overload] # a list or a view of one
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(number)
