"""The workers of a chaos run: two `manage.py run_orch_worker` supervisors, as on two hosts.

`start_missing` restarts a supervisor that died, as a service manager would.
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
STOP_TIMEOUT_S = 20.0


class WorkerPool:
    """Two supervisors with two worker processes each; their output goes to `log`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._supervisors: list[psutil.Popen] = []
        self._started_workers: dict[int, psutil.Process] = {}

    def start_missing(self) -> None:
        """Start supervisors until there are `HOSTS`."""
        self._supervisors = [one for one in self._supervisors if one.poll() is None]
        while len(self._supervisors) < HOSTS:
            with self._log.open("ab") as log:
                command = [sys.executable, "manage.py", "run_orch_worker", "--concurrency", str(WORKERS_A_HOST)]
                self._supervisors.append(
                    psutil.Popen(command, cwd=BASE_DIR, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )
        for one in self.workers():
            self._started_workers[one.pid] = one

    def supervisors(self) -> list[psutil.Process]:
        """The live supervisors."""
        return [one for one in self._supervisors if one.poll() is None]

    def workers(self) -> list[psutil.Process]:
        """The live worker processes, frozen ones included."""
        found: list[psutil.Process] = []
        for one in self.supervisors():
            with contextlib.suppress(psutil.Error):
                found += [child for child in one.children() if child.name().startswith("orch-worker")]
        return sorted(found, key=lambda one: one.pid)

    def stop(self) -> list[str]:
        """Resume and stop all processes; kill those still alive after `STOP_TIMEOUT_S`, and return a line for each."""
        all_processes: dict[int, psutil.Process] = {
            **self._started_workers,
            **{one.pid: one for one in self.supervisors()},
        }
        for one in self.workers():
            all_processes[one.pid] = one
        _signal(all_processes.values(), signal.SIGCONT)
        _signal(self.supervisors(), signal.SIGTERM)
        _, alive = psutil.wait_procs(list(all_processes.values()), timeout=STOP_TIMEOUT_S)
        _signal(alive, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=5)
        return [f"process {one.pid} did not end within {STOP_TIMEOUT_S:.0f} s of SIGTERM" for one in alive]


def _signal(processes: object, number: signal.Signals) -> None:
    for one in list(processes):  # type: ignore[call-overload] # a list or a view of one
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(number)
