"""Running a side's program in the laboratory: to its end, or as workers that are stopped afterwards."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.queue_lab import Lab
from benchmarks.queue_sides import trace
from benchmarks.queue_sides.known import ROOT, Side
from benchmarks.surroundings import clean_environment

STOP_S = 15
LOG, LOG_CHARS = "side.log", 2_000


def environment(lab: Lab, database: str, trace_file: Path | None = None) -> dict[str, str]:
    """The variables of a side's program; what the machine has set for the product is left out."""
    kept = clean_environment() | {
        "ORCH_PROFILE": "development",
        "ORCH_VAR_DIR": str(lab.folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if trace_file is not None:
        kept[trace.VARIABLE] = str(trace_file)
    return kept | lab.environment(database)


def run(lab: Lab, side: Side, database: str, what: str, *, number: int = 0, trace_file: Path | None = None) -> Any:
    """Run one thing to its end; what it printed, from JSON.

    Raises:
        RuntimeError: it failed; the message ends with what it and its workers logged last.
    """
    with (lab.folder / LOG).open("ab") as log:
        done = subprocess.run(
            side.command(what, number),
            cwd=ROOT,
            env=environment(lab, database, trace_file),
            check=False,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    if done.returncode:
        raise RuntimeError(
            f"{side.name}, {what}: exit {done.returncode}\n{(lab.folder / LOG).read_text()[-LOG_CHARS:]}"
        )
    return json.loads(done.stdout) if done.stdout.strip() else None


@contextmanager
def workers(lab: Lab, side: Side, database: str, processes: int, trace_file: Path) -> Iterator[None]:
    """`processes` worker processes of a side, stopped at the end."""
    commands = [side.command("work", processes)] * (1 if side.own_processes else processes)
    with (lab.folder / LOG).open("ab") as log:
        children = [
            subprocess.Popen(command, cwd=ROOT, env=environment(lab, database, trace_file), stdout=log, stderr=log)
            for command in commands
        ]
    try:
        yield
    finally:
        for child in children:
            child.terminate()
        for child in children:
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
