"""How fast a side drains jobs that register one row each with four workers, and how soon an idle one starts a job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import queue_running
from benchmarks.queue_lab import Lab
from benchmarks.queue_sides import result_table, trace
from benchmarks.queue_sides.known import Side

PROCESSES = 4
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Bench:
    """Runs sides in one laboratory; each measurement begins with a copy of freshly made tables."""

    lab: Lab

    def install(self, sides: Sequence[Side]) -> None:
        """Make every side's tables once, to be copied."""
        for side in {side.tables: side for side in sides}.values():
            queue_running.run(self.lab, side, self.lab.create(f"{side.tables}_fresh"), "install")

    def drain(self, side: Side, jobs: int) -> float:
        """Jobs a second with `PROCESSES` processes, while all of them work.

        Raises:
            RuntimeError: a job was lost, or done twice.
        """
        database, path = self._fresh(side)
        queue_running.run(self.lab, side, database, "fill", number=jobs)
        self.lab.settle(database)
        with queue_running.workers(self.lab, side, database, PROCESSES, path):
            trace.wait_for(path, jobs, PATIENCE_S)
            self._wait_until_finished(side, database)
        if trace.count(path) != jobs:
            raise RuntimeError(f"{side.name}: {trace.count(path)} starts for {jobs} jobs")
        rows = self.lab.run(database, result_table.COUNT)[0][0]
        if rows != jobs:
            raise RuntimeError(f"{side.name}: {rows} rows for {jobs} jobs")
        return trace.rate(path, PROCESSES)

    def ask(self, side: Side, jobs: int) -> list[float]:
        """Seconds from the call that queues a job to the start of its work, on one idle worker process."""
        database, path = self._fresh(side)
        self.lab.settle(database)
        with queue_running.workers(self.lab, side, database, 1, path):
            return list(queue_running.run(self.lab, side, database, "ask", number=jobs, trace_file=path))

    def _fresh(self, side: Side) -> tuple[str, Path]:
        path = self.lab.folder / "trace"
        path.unlink(missing_ok=True)
        path.touch()
        return self.lab.create(f"{side.tables}_now", f"{side.tables}_fresh"), path

    def _wait_until_finished(self, side: Side, database: str) -> None:
        give_up_at = time.monotonic() + PATIENCE_S
        while (left := self.lab.run(database, side.unfinished)[0][0]) > 0:
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"{side.name}: {left} jobs have not ended")
            time.sleep(0.1)
