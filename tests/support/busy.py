"""Keeps every core busy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


@contextmanager
def busy_cores(loops_a_core: int = 1) -> Iterator[list[psutil.Process]]:
    """Run busy loops on every core inside the context; a loop also ends when its parent does."""
    parent = os.getpid()
    loop = f"import os\nwhile os.getppid() == {parent}: sum(range(100_000))"
    count = loops_a_core * len(os.sched_getaffinity(0))
    loops = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]
    try:
        yield [psutil.Process(one.pid) for one in loops]
    finally:
        for one in loops:
            one.kill()
            one.wait()
