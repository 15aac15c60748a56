"""Real workers bundling and restoring real incidents while processes, sessions, the database and the disk fail.

After the given time every fault is undone, the jobs drain, and the deployment is checked against `soak.invariants`.
The seed fixes the schedule of faults; which process each one hits depends on the run.
`python -m soak.chaos --seconds 300 --seed 1`.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from orchestrator_site.configuration.env import BASE_DIR
from soak.deployment import addresses, configure, scratch
from soak.faults import HEARTBEAT_S, LEASE_S, Target, Undo, schedule, start_database
from soak.worker_pool import HOSTS, WORKERS_A_HOST, WorkerPool

if TYPE_CHECKING:
    from soak.requests import Requests

SHARED_INCIDENTS = BASE_DIR.parent / "shared" / "incidents"
STORES_SIZE = "1536m"
POLL_S = 0.05
DRAIN_TIMEOUT_S = 240.0


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this part's options."""
    parser.add_argument("--seconds", type=float, default=300, help="of faults; draining and checking come after")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an existing folder to copy the logs to")


def run(given: argparse.Namespace) -> bool:
    """Run the chaos in a process of its own, as settings belong to a process; returns whether everything held."""
    command = [sys.executable, "-m", "soak.chaos", "--seconds", str(given.seconds), "--seed", str(given.seed)]
    if given.keep:
        command += ["--keep", str(given.keep.absolute())]
    return subprocess.run(command, cwd=BASE_DIR, check=False).returncode == 0


def main() -> int:
    """Create a deployment, inject faults, let it drain and check it; returns the exit code."""
    from bundles.samples.services import SampleServices

    parser = argparse.ArgumentParser(prog="python -m soak.chaos", description=__doc__)
    options(parser)
    given = parser.parse_args()
    with scratch() as root, _stores(root) as (stores, mounted):
        own = root / "sample"
        own.mkdir()
        folders = [own, SHARED_INCIDENTS] if SHARED_INCIDENTS.is_dir() else [own]
        with SampleServices(folders) as services:
            configure(root, stores, **_variables(), **addresses(services.ports))
            return _run_and_judge(Target(WorkerPool(root / "workers.log"), root, stores, mounted), folders, given)


def _run_and_judge(target: Target, folders: list[Path], given: argparse.Namespace) -> int:
    """Inject faults, undo them, drain and check; returns the exit code."""
    from soak.aftermath import judge  # models exist once Django is set up
    from soak.requests import Requests, incidents_in

    requests = Requests(incidents_in(folders[0], folders), Random(given.seed), target.stores)
    try:
        _inject_faults(target, requests, given.seed, given.seconds)
        faults = _drain(target, requests)
        faults += target.pool.stop()
    finally:
        target.pool.stop()
        if given.keep:
            shutil.copytree(target.root / "strace", given.keep / "strace", dirs_exist_ok=True)
            shutil.copy(target.root / "workers.log", given.keep)
    print(f"\nchaos: seed {given.seed}, {given.seconds:.0f} s, {HOSTS} supervisors x {WORKERS_A_HOST} workers")
    print(f"the disk was filled {f'on a tmpfs of {STORES_SIZE}' if target.mounted else 'by RLIMIT_FSIZE (no mount)'}")
    return judge(target.injected, requests, faults)


def _variables() -> dict[str, str]:
    return {
        "ORCH_LEASE_SECONDS": str(LEASE_S),
        "ORCH_HEARTBEAT_SECONDS": str(HEARTBEAT_S),
        "ORCH_SOURCE_TIMEOUT_SECONDS": "5",
    }


@contextlib.contextmanager
def _stores(root: Path) -> Iterator[tuple[Path, bool]]:
    """A small tmpfs for bundles and artifacts where mounting is permitted, else a plain folder; and which it is."""
    stores = root / "stores"
    stores.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={STORES_SIZE}", "tmpfs", str(stores)], capture_output=True, check=False
    )
    mounted = done.returncode == 0
    try:
        yield stores, mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(stores)], check=False)


def _inject_faults(target: Target, requests: Requests, seed: int, seconds: float) -> None:
    """Request jobs and inject faults until the time is over; then undo all faults."""
    scheduled = schedule(seed, seconds)[::-1]
    undoing: list[tuple[float, int, Undo]] = []
    turn = itertools.count()
    began = time.monotonic()
    try:
        while (now_s := time.monotonic() - began) < seconds:
            target.pool.start_missing()
            while undoing and undoing[0][0] <= now_s:
                heapq.heappop(undoing)[2]()
            while scheduled and scheduled[-1].at_s <= now_s:
                if injected := target.inject(scheduled.pop()):
                    heapq.heappush(undoing, (now_s + injected[0], next(turn), injected[1]))
            requests.ask()
            time.sleep(POLL_S)
    finally:
        for _, _, undo in sorted(undoing, key=lambda one: one[:2]):
            undo()
        start_database(target.root)


def _drain(target: Target, requests: Requests) -> list[str]:
    """Wait until no job is active, and print how long it took; returns a line if it took too long."""
    began = time.monotonic()
    while time.monotonic() - began < DRAIN_TIMEOUT_S:
        target.pool.start_missing()
        if requests.active() == 0:
            print(f"faults undone; all jobs ended {time.monotonic() - began:.1f} s later", flush=True)
            return []
        time.sleep(POLL_S)
    return [f"jobs were still active {DRAIN_TIMEOUT_S:.0f} s after all faults were undone"]


if __name__ == "__main__":
    sys.exit(main())
