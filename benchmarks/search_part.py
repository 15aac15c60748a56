"""The search: 5,000,000 events and alerts of 50 incidents and 200,000 artifacts, asked through the service of the page.

The rows have the words of real ones, 1,000 different ones of an incident and the same again at other times. They are
written to a fresh embedded PostgreSQL, and the indexes are made afterwards. Each search is made 20 times after a first
one, in one process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import queue_running
from benchmarks.queue_lab import open_lab
from benchmarks.queue_report import percentiles
from benchmarks.queue_sides.known import OURS, ROOT

DATABASE = "bench_search"
RECORDS = 5_000_000
MOST_MS = 300


def run(work: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Measure the search.

    Args:
        work: where the database lives; some 3 GB for 1,000,000 records.
        scale: share of the records.
        rounds: not used: each search is made often enough.

    Returns:
        Each search with its matches and percentiles in seconds, and the bytes of tables and indexes.
    """
    del rounds
    records = round(RECORDS * scale)
    load = os.getloadavg()[0]
    with open_lab(work) as lab:
        lab.create(DATABASE)
        queue_running.run(lab, OURS, DATABASE, "install")
        with (lab.folder / queue_running.LOG).open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.search_side", str(records)],
                cwd=ROOT, env=queue_running.environment(lab, DATABASE), check=False, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        if done.returncode:
            raise RuntimeError((lab.folder / queue_running.LOG).read_text(errors="replace")[-3000:])
    report: dict[str, Any] = {"records": records, "load": load, **json.loads(done.stdout)}
    for line in lines(report):
        print(line)
    return report


def lines(report: dict[str, Any]) -> list[str]:
    """The report as Markdown."""
    found = [
        (
            f"{report['records']:,} events and alerts of 50 incidents, 200,000 artifacts; load average "
            f"{report['load']:.1f} before. Filled and indexed in {report['filled_s'] / 60:.0f} min."
        ),
        "",
        "| search | matches read | incidents | all named | p50 | p95 |",
        "|---|---|---|---|---|---|",
    ]
    slow = []
    for name, one in report["searches"].items():
        times = percentiles(one["seconds"])
        p50, p95 = 1000 * times["p50"], 1000 * times["p95"]
        named = "yes" if one["complete"] else "no"
        found.append(f"| {name} | {one['matches']:,} | {one['incidents']} | {named} | {p50:.0f} ms | {p95:.0f} ms |")
        slow += [name] if p95 > MOST_MS else []
    times = percentiles(report["elsewhere"])
    found.append(f"| seen elsewhere | - | - | - | {1000 * times['p50']:.0f} ms | {1000 * times['p95']:.0f} ms |")
    found += ["", "| on disk | MiB |", "|---|---|"]
    found += [f"| {name} | {size / 2**20:,.0f} |" for name, size in sorted(report["sizes"].items())]
    return [*found, "", f"Beyond 300 ms: {', '.join(slow) or 'none'}."]
