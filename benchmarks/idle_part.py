"""What the whole system costs while nobody asks anything of it: wake-ups, processor time and memory.

`manage.py run_everything`, which `make run` calls and which `launcher` takes the place of, is started with a directory
and ports of its own, PostgreSQL included, and watched from outside through /proc once its main job is done: every
voluntary switch of every thread of every process is a wake-up, and memory is the proportional set size, which counts a
shared page once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.queue_sides.known import ROOT
from benchmarks.surroundings import clean_environment, free_ports

PORTS = ("ORCH_API_PORT", "ORCH_METRICS_PORT", "KILLCHAIN_API_PORT", "FORENSIC_API_PORT", "DB_API_PORT")
UP_WITHIN_S, LEAVES_WITHIN_S = 600.0, 60.0
SETTLES_S, WATCHED_S = 90.0, 120.0  # connections that a page left open are closed after 60 s
SAYS_IT_IS_UP = "Ctrl-C stops everything."
MOST_WAKEUPS, MOST_CPU_PERCENT, MOST_MIB = 10.0, 1.0, 450.0


@dataclass(frozen=True)
class Reading:
    """One process at one moment: wake-ups of each thread, processor seconds."""

    wakeups: dict[int, int]
    cpu_s: float


def run(work: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Measure an idle system.

    Args:
        work: where its directory lives.
        scale: share of the full time of watching.
        rounds: not used: one long look says more than some short ones.

    Returns:
        For each kind of process how many there are, wake-ups a second, percent of a core, MiB; and the sums.
    """
    del rounds
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-idle-", dir=work))
    directory.chmod(0o755)  # under root, PostgreSQL runs as a user of its own
    try:
        with _running(directory) as process:
            time.sleep(SETTLES_S * scale)
            kinds = _watch(process, directory, WATCHED_S * scale)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    total = {name: sum(kind[name] for kind in kinds.values()) for name in ("processes", "wakeups", "cpu", "mib")}
    report = {"kinds": kinds, "total": total, "load": os.getloadavg()[0], "seconds": WATCHED_S * scale}
    for line in lines(report):
        print(line)
    return report


def lines(report: dict[str, Any]) -> list[str]:
    """The report as Markdown."""
    found = [
        f"Over {report['seconds']:.0f} s; load average {report['load']:.1f}.",
        "",
        "| process | number | wake-ups a second | % of a core | MiB (PSS) |",
        "|---|---|---|---|---|",
    ]
    for name, kind in [*report["kinds"].items(), ("all", report["total"])]:
        found.append(
            f"| {name} | {kind['processes']} | {kind['wakeups']:.1f} | {kind['cpu']:.2f} | {kind['mib']:.0f} |"
        )
    total = report["total"]
    beyond = [
        name
        for name, most in (("wakeups", MOST_WAKEUPS), ("cpu", MOST_CPU_PERCENT), ("mib", MOST_MIB))
        if total[name] > most
    ]
    return [*found, "", f"Beyond the budget: {', '.join(beyond) or 'none'}."]


@contextlib.contextmanager
def _running(directory: Path) -> Iterator[psutil.Process]:
    """The system, up and with its main job done."""
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    environment = clean_environment() | {"ORCH_PROFILE": "development", "ORCH_VAR_DIR": str(directory), **ports}
    said = directory / "said.log"
    with said.open("wb") as out:
        started = subprocess.Popen(
            [sys.executable, "manage.py", "run_everything"],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        give_up_at = time.monotonic() + UP_WITHIN_S
        while SAYS_IT_IS_UP not in (text := said.read_text(errors="replace")):
            if started.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"the system did not come up:\n{text}")
            time.sleep(0.5)
        yield psutil.Process(started.pid)
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(timeout=LEAVES_WITHIN_S)


def _watch(top: psutil.Process, directory: Path, seconds: float) -> dict[str, dict[str, float]]:
    """Two readings of every process, and what they tell of each kind."""
    processes = {one.pid: one for one in _all(top, directory)}
    before, began = {pid: _read(pid) for pid in processes}, time.monotonic()
    time.sleep(seconds)
    after, took_s = {pid: _read(pid) for pid in processes}, time.monotonic() - began
    kinds: dict[str, dict[str, float]] = defaultdict(lambda: {"processes": 0, "wakeups": 0.0, "cpu": 0.0, "mib": 0.0})
    for pid, process in processes.items():
        kind = kinds[_kind_of(process)]
        first, last = before[pid].wakeups, after[pid].wakeups
        kind["processes"] += 1
        kind["wakeups"] += sum(last[tid] - first[tid] for tid in first.keys() & last.keys()) / took_s
        kind["cpu"] += 100 * (after[pid].cpu_s - before[pid].cpu_s) / took_s
        kind["mib"] += _pss_bytes(pid) / 2**20
    return dict(kinds)


def _all(top: psutil.Process, directory: Path) -> list[psutil.Process]:
    """The process, its descendants, and PostgreSQL, which is nobody's child."""
    postmaster = psutil.Process(int((directory / "postgres/data/postmaster.pid").read_text().split()[0]))
    return [one for first in (top, postmaster) for one in (first, *first.children(recursive=True))]


def _kind_of(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    if process.name() == "postgres" or "postgres" in command.split(":")[0]:
        return "PostgreSQL: client" if "[local]" in command or "127.0.0.1" in command else "PostgreSQL: its own"
    if process.name().startswith("orch-"):
        return process.name().rstrip("-0123456789")
    words = ("gunicorn", "launcher", "run_orch_worker", "serve")
    return next((word for word in words if word in command), process.name())


def _read(pid: int) -> Reading:
    wakeups = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            status = (task / "status").read_text()
            wakeups[int(task.name)] = int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Reading(wakeups, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def _pss_bytes(pid: int) -> int:
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(told.partition("\nPss:")[2].split()[0]) * 1024
