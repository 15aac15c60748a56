"""A worker killed before and after every call that changes a file or the database, in one bundle and one restore job.

The calls are found by tracing a whole attempt. Then each gets two kills: when the call is entered, and when it has been
carried out. After every kill another worker must finish the job, once, and leave nothing behind.
`python -m soak.killpoints` covers all and prints the count.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from orchestrator_site.configuration.env import BASE_DIR
from soak import strace
from soak.deployment import addresses, configure, scratch
from soak.strace import Call, TracingError

if TYPE_CHECKING:
    from soak.victims import BundleVictim

# A kill is aimed by counting calls. An attempt may make one call more or less (a source's answer in two pieces is one
# more report of progress), so later tries aim at neighbouring counts.
COUNT_OFFSETS = (0, 1, -1, 0, 2, -2, 0, 1, -1, 3, -3, 0, 2, 4, -4, 1, 0)
MOST_TRACED_ATTEMPTS = 15
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Point:
    """One kill: before or after one call, which is the `nth` of its shape in an attempt."""

    call: Call
    nth: int
    moment: str

    def __str__(self) -> str:
        """The kill in one line."""
        return f"{self.moment} {self.call.name} {self.call.ordinal}: {self.call.shape} ({self.nth})"


@dataclass
class Tally:
    """The outcome for one kind of job.

    Attributes:
        found: how many points tracing found.
        covered: kills that hit their point, by call and moment.
        failures: violated invariants, each with its point.
    """

    found: int = 0
    covered: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def all_points(points: list[Point]) -> list[Point]:
    """Choose every point."""
    return points


def cover(kind: str, incidents: Path, logs: Path, choose: Callable[[list[Point]], list[Point]] = all_points) -> Tally:
    """Find the points of a kind of job and kill a worker at each chosen one.

    Args:
        kind: `bundle` or `restore`.
        incidents: the folder that the sources serve; gets an incident for each attempt.
        logs: for strace.
        choose: selects from the points found.

    Raises:
        TracingError: strace cannot trace, or no two attempts in a row made the same calls.
    """
    from bundles.keys import trusted_keys  # models exist once Django is set up
    from soak.victims import VICTIMS

    # Loading the key takes most of the time of a small bundle and makes no relevant call.
    with mock.patch.object(trusted_keys, "signing", functools.cache(trusted_keys.signing)):
        return _cover(kind, VICTIMS[kind](incidents), logs, choose)


def _cover(kind: str, victim: BundleVictim, logs: Path, choose: Callable[[list[Point]], list[Point]]) -> Tally:
    tally = Tally()
    points = _points(_calls(kind, victim, logs))
    tally.found = len(points)
    for point in choose(points):
        for offset in COUNT_OFFSETS:
            job = victim.prepare()
            hit = kill_at(point, offset, victim.attempt, logs)
            tally.failures += [f"{kind}, {point}: {fault}" for fault in victim.faults_after(job)]
            if hit:
                tally.covered[point.call.name, point.moment] += 1
                break
        else:
            tally.failures.append(f"{kind}, {point}: the attempts did not reach this call")
    return tally


def _points(calls: list[Call]) -> list[Point]:
    """Two points for each call."""
    seen: Counter[str] = Counter()
    points = []
    for call in calls:
        seen[call.shape] += 1
        points += [Point(call, seen[call.shape], moment) for moment in (BEFORE, AFTER)]
    return points


def _calls(kind: str, victim: BundleVictim, logs: Path) -> list[Call]:
    """The relevant calls that two whole attempts in a row made alike.

    One job is run in this process first: attempts are its children, so modules loaded on first use are then loaded.
    """
    if faults := victim.faults_after(victim.prepare()):
        raise TracingError(f"without a kill, {faults}")
    before: list[str] = []
    for _ in range(MOST_TRACED_ATTEMPTS):
        victim.prepare()
        calls = relevant(trace_attempt(victim.attempt, logs), victim.roots)
        shapes = [call.shape for call in calls]
        if shapes == before:
            return calls
        differing = next((pair for pair in zip(shapes, before, strict=False) if pair[0] != pair[1]), "their number")
        before = shapes
    raise TracingError(f"no two attempts of a {kind} job in a row made the same calls; they differ in {differing}")


def trace_attempt(attempt: Callable[[], object], logs: Path) -> list[Call]:
    """The calls of an attempt that is not killed.

    Raises:
        TracingError: it failed.
    """
    log = logs / "whole.strace"
    with _forked(attempt) as (pid, go):
        with strace.attached(pid, log, "-f"):
            os.write(go, b".")
            _, status = os.waitpid(pid, 0)
        if status:
            raise TracingError(f"an attempt that was only traced ended with {status}")
    return strace.calls_of(log)


def relevant(calls: list[Call], roots: tuple[Path, ...]) -> list[Call]:
    """The calls of the job's own thread that change files below `roots` or send to the database.

    Threads that fetch contents make calls in an order that no two attempts share; `test_sources_killed.py`
    kills them at any moment.

    Raises:
        TracingError: several threads send to the database, so that none is the job's own.
    """
    own = {call.thread for call in calls if call.to_database}
    if len(own) != 1:
        raise TracingError("an attempt sends to the database from several threads")
    return [
        call
        for call in calls
        if call.thread in own
        and (
            call.to_database
            or (any(str(root) in call.given for root in roots) and (call.name != "openat" or call.may_create_file))
        )
    ]


def kill_at(point: Point, offset: int, attempt: Callable[[], object], logs: Path) -> bool:
    """Kill an attempt at the point, or `offset` calls of this name later; whether strace's log shows it died there."""
    call = replace(point.call, ordinal=max(1, point.call.ordinal + offset))
    log = logs / "killed.strace"
    before = point.moment == BEFORE
    with _forked(attempt) as (pid, go):
        options = strace.killing_before(call) if before else strace.holding_after(call)
        with strace.attached(pid, log, *options) as tracer:
            os.write(go, b".")
            if not before:
                strace.kill_when_held(pid, log, tracer)
            _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        return False
    made = strace.calls_of(log)
    same = sum(one.shape == point.call.shape for one in made)
    carried_out = "(DELAYED)" in made[-1].given
    return made[-1].shape == point.call.shape and same == point.nth and carried_out != before


@dataclass
class _forked:  # noqa: N801 # used like a function
    """A child process that runs an attempt once a byte is written to its pipe."""

    attempt: Callable[[], object]

    def __enter__(self) -> tuple[int, int]:
        from django.db import connections  # settings exist once Django is set up

        connections.close_all()
        waits, self._go = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                os.close(self._go)
                if os.read(waits, 1):
                    self.attempt()
                    code = 0
            finally:
                os._exit(code)
        os.close(waits)
        return self._pid, self._go

    def __exit__(self, *failure: object) -> None:
        os.close(self._go)  # a child that has not begun reads the end of the pipe, and exits
        with contextlib.suppress(ChildProcessError):  # waited for already
            os.waitpid(self._pid, 0)


def lines_of(kind: str, tally: Tally, seconds: float) -> Iterator[str]:
    """The tally as lines of a table."""
    yield f"\nkill points of a {kind} job{'before':>24}{'after':>10}"
    for name in sorted({name for name, _ in tally.covered}):
        yield f"  {name:37}{tally.covered[name, BEFORE]:>10}{tally.covered[name, AFTER]:>10}"
    yield f"covered {tally.covered.total()}/{tally.found} in {seconds:.0f} s, {len(tally.failures)} failures"
    yield from (f"FAILED {failure}" for failure in tally.failures)


def options(parser: argparse.ArgumentParser) -> None:
    """Declare no options: all points are covered."""
    del parser


def run(given: argparse.Namespace) -> bool:
    """Run the kill points in a process of its own, as settings belong to a process; returns whether everything held."""
    del given
    return subprocess.run([sys.executable, "-m", "soak.killpoints"], cwd=BASE_DIR, check=False).returncode == 0


def main() -> int:
    """Cover every kill point of both jobs on a new deployment; returns the exit code."""
    from bundles.samples.services import SampleServices

    code = 0
    with scratch() as root:
        incidents, logs = root / "incidents", root / "strace"
        incidents.mkdir()
        with SampleServices([incidents]) as services:
            configure(root, root, **addresses(services.ports))
            for kind in ("bundle", "restore"):
                started = time.monotonic()
                tally = cover(kind, incidents, logs)
                for line in lines_of(kind, tally, time.monotonic() - started):
                    print(line, flush=True)
                code |= int(bool(tally.failures) or tally.covered.total() != tally.found)
    return code


if __name__ == "__main__":
    sys.exit(main())
