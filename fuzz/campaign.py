"""Runs many mutants on all cores: worker processes, their tallies, and the failures saved as files."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz.judge import Judge, ReaderFailedError, peak_kib
from fuzz.mutants import mutant

MOST_FAILURES = 20


@dataclass
class Tally:
    """The outcome.

    Attributes:
        codes: how often each verdict occurred.
        resigned: the same, for mutants that the trusted key signed again.
        failures: number of the mutant, and why.
        growth_kib: the largest peak memory of a worker above its idle state.
    """

    codes: Counter[str] = field(default_factory=Counter)
    resigned: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    growth_kib: int = 0

    def add(self, other: Tally) -> None:
        """Add a worker's tally."""
        self.codes += other.codes
        self.resigned += other.resigned
        self.failures += other.failures
        self.growth_kib = max(self.growth_kib, other.growth_kib)


def run_share(seed: int, numbers: range, deadline: float, reached: Any = None) -> Tally:
    """Judge these mutants of `seed` until `deadline` (monotonic, seconds); `reached` shares the current number."""
    tally, tmpfs = Tally(), Path("/dev/shm")  # noqa: S108 # a folder of our own is made inside
    with tempfile.TemporaryDirectory(dir=tmpfs if tmpfs.is_dir() else None) as folder:
        judge, idle = Judge(Path(folder) / "mutant"), peak_kib()
        for number in numbers:
            if time.monotonic() > deadline or len(tally.failures) >= MOST_FAILURES:
                break
            if reached is not None:
                reached.value = number
            made = mutant(seed, number)
            try:
                code = judge.verdict(made)
            except ReaderFailedError as error:
                tally.failures.append((number, str(error)))
                code = "FAILED"
            tally.codes[code] += 1
            tally.resigned[code] += made.resigned
        tally.growth_kib = peak_kib() - idle
    return tally


def run(seed: int, most: int, seconds: float, workers: int | None = None) -> Tally:
    """Judge mutants 0 to `most` - 1 of `seed` on all cores, for at most `seconds`."""
    count = workers or len(os.sched_getaffinity(0))
    deadline, total, running = time.monotonic() + seconds, Tally(), []
    context = multiprocessing.get_context("fork")
    for share in range(count):
        mine, theirs = context.Pipe(duplex=False)
        reached = context.Value("q", -1)
        process = context.Process(target=_work, args=(theirs, seed, range(share, most, count), deadline, reached))
        process.start()
        theirs.close()
        running.append((process, mine, reached))
    for process, mine, reached in running:
        try:
            total.add(mine.recv())
        except EOFError:
            process.join()
            total.failures.append((reached.value, f"the worker died (exit {process.exitcode})"))
        process.join()
    return total


def keep(seed: int, tally: Tally, folder: Path) -> list[Path]:
    """Save each failed mutant as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for number, _ in tally.failures:
        kept.append(folder / f"seed-{seed}-mutant-{number}.bundle")
        kept[-1].write_bytes(mutant(seed, number).bundle)
    return kept


def _work(results: Connection, seed: int, numbers: range, deadline: float, reached: Any) -> None:
    results.send(run_share(seed, numbers, deadline, reached))
