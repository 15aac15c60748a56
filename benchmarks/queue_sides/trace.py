"""The trace: one record for each job that was started, written by the job itself, the same way on every side.

A record is the process's id and the system-wide monotonic clock, appended by one `write`, which costs microseconds.
"""

from __future__ import annotations

import os
import struct
import time
from collections import defaultdict
from pathlib import Path

VARIABLE = "BENCH_TRACE"
RECORD = struct.Struct("=qq")
LOOK_EVERY_S = 0.0005
_opened: list[int] = []


def started() -> None:
    """Note that a job starts in this process, now."""
    now = time.monotonic_ns()
    if not _opened:
        _opened.append(os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666))
    os.write(_opened[0], RECORD.pack(os.getpid(), now))


def count(path: Path) -> int:
    """How many jobs have started."""
    return path.stat().st_size // RECORD.size if path.exists() else 0


def records(path: Path, first: int = 0) -> list[tuple[int, int]]:
    """(process id, nanoseconds) of each start, from the record numbered `first` on."""
    with path.open("rb") as file:
        file.seek(first * RECORD.size)
        return [(pid, at) for pid, at in RECORD.iter_unpack(file.read())]


def wait_for(path: Path, number: int, patience_s: float) -> None:
    """Return once `number` jobs have started.

    Raises:
        TimeoutError: they have not in time.
    """
    give_up_at = time.monotonic() + patience_s
    while count(path) < number:
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{count(path)} of {number} jobs have started after {patience_s:.0f} s")
        time.sleep(LOOK_EVERY_S)


def rate(path: Path, processes: int) -> float:
    """Jobs a second while all processes worked: from the last one's first job to the first one's last job.

    Raises:
        ValueError: other than `processes` processes took part, or they hardly overlapped.
    """
    by_process: dict[int, list[int]] = defaultdict(list)
    for pid, at in records(path):
        by_process[pid].append(at)
    begin = max((min(times) for times in by_process.values()), default=0)
    end = min((max(times) for times in by_process.values()), default=0)
    within = sum(begin <= at < end for times in by_process.values() for at in times)
    total = sum(map(len, by_process.values()))
    if len(by_process) != processes or within < total / 4:
        raise ValueError(f"{len(by_process)} processes worked, {within} of {total} jobs while all did")
    return within / ((end - begin) / 1e9)
