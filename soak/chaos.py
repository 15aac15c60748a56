"""Real workers bundling and restoring real incidents while processes, sessions, the database and the disk fail.

After the given time everything is healed, the jobs drain, and the deployment is held against `soak.verdicts`. The seed
makes the schedule of faults repeatable; what each meets depends on the run.
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
from soak.crew import HOSTS, WORKERS_A_HOST, Crew
from soak.deployment import addresses, scratch, settle
from soak.faults import HEARTBEAT_S, LEASE_S, Heal, World, schedule, start_database

if TYPE_CHECKING:
    from soak.requests import Requests

SHARED_INCIDENTS = BASE_DIR.parent / "shared" / "incidents"
STORES_SIZE = "1536m"
LOOK_S = 0.05
DRAINS_WITHIN_S = 240.0


def options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--seconds", type=float, default=300, help="of faults; healing and judging come after")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an existing folder to copy the logs to")


def run(given: argparse.Namespace) -> bool:
    """Chaos: real workers on real incidents while processes, sessions, the database and the disk fail.

    In a process of its own, as settings belong to a process. Whether everything held.
    """
    command = [sys.executable, "-m", "soak.chaos", "--seconds", str(given.seconds), "--seed", str(given.seed)]
    if given.keep:
        command += ["--keep", str(given.keep.absolute())]
    return subprocess.run(command, cwd=BASE_DIR, check=False).returncode == 0


def main() -> int:
    """Make a deployment, do everything to it, heal it, and judge it."""
    from bundles.samples.services import SampleServices  # quick to import only once it is needed

    parser = argparse.ArgumentParser(prog="python -m soak.chaos", description=__doc__)
    options(parser)
    given = parser.parse_args()
    with scratch() as root, _stores(root) as (stores, mounted):
        own = root / "sample"
        own.mkdir()
        folders = [own, SHARED_INCIDENTS] if SHARED_INCIDENTS.is_dir() else [own]
        with SampleServices(folders) as services:
            settle(root, stores, **_variables(), **addresses(services.ports))
            return _happen(World(Crew(root / "workers.log"), root, stores, mounted), folders, given)


def _happen(world: World, folders: list[Path], given: argparse.Namespace) -> int:
    """Suffer, heal, drain and judge; returns the exit code."""
    from soak.aftermath import judge  # models exist once Django is set up
    from soak.requests import Requests, incidents_in

    requests = Requests(incidents_in(folders[0], folders), Random(given.seed), world.stores)
    try:
        _suffer(world, requests, given.seed, given.seconds)
        faults = _drain(world, requests)
        faults += world.crew.stop()
    finally:
        world.crew.stop()
        if given.keep:
            shutil.copytree(world.root / "strace", given.keep / "strace", dirs_exist_ok=True)
            shutil.copy(world.root / "workers.log", given.keep)
    print(f"\nchaos: seed {given.seed}, {given.seconds:.0f} s, {HOSTS} supervisors x {WORKERS_A_HOST} workers")
    print(f"the disk was filled {f'on a tmpfs of {STORES_SIZE}' if world.mounted else 'by RLIMIT_FSIZE (no mount)'}")
    return judge(world.did, requests, faults)


def _variables() -> dict[str, str]:
    return {
        "ORCH_LEASE_SECONDS": str(LEASE_S),
        "ORCH_HEARTBEAT_SECONDS": str(HEARTBEAT_S),
        "ORCH_SOURCE_TIMEOUT_SECONDS": "5",
    }


@contextlib.contextmanager
def _stores(root: Path) -> Iterator[tuple[Path, bool]]:
    """A small file system for bundles and artifacts where mounting is permitted, else a plain folder."""
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


def _suffer(world: World, requests: Requests, seed: int, seconds: float) -> None:
    """Ask for work and strike, until the time is over; then heal everything."""
    waiting = schedule(seed, seconds)[::-1]
    healing: list[tuple[float, int, Heal]] = []
    turn = itertools.count()
    began = time.monotonic()
    try:
        while (now_s := time.monotonic() - began) < seconds:
            world.crew.keep_up()
            while healing and healing[0][0] <= now_s:
                heapq.heappop(healing)[2]()
            while waiting and waiting[-1].at_s <= now_s:
                if healed := world.strike(waiting.pop()):
                    heapq.heappush(healing, (now_s + healed[0], next(turn), healed[1]))
            requests.ask()
            time.sleep(LOOK_S)
    finally:
        for _, _, heal in sorted(healing, key=lambda one: one[:2]):
            heal()
        start_database(world.root)


def _drain(world: World, requests: Requests) -> list[str]:
    """Wait until no job is under way; the time it took is told."""
    began = time.monotonic()
    while time.monotonic() - began < DRAINS_WITHIN_S:
        world.crew.keep_up()
        if requests.active() == 0:
            print(f"healed; all jobs ended {time.monotonic() - began:.1f} s later", flush=True)
            return []
        time.sleep(LOOK_S)
    return [f"jobs were still under way {DRAINS_WITHIN_S:.0f} s after everything was healed"]


if __name__ == "__main__":
    sys.exit(main())
