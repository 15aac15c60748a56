"""`make bench`: run the parts that are named (all unless given), print tables, and write `var/bench.json`."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks import (
    bundle_part,
    document,
    idle_part,
    imports_part,
    incidents_part,
    live_part,
    pages_part,
    queue_part,
    queue_report,
    search_part,
    sources_part,
)

PARTS = {
    "bundle": bundle_part.run,
    "incidents": incidents_part.run,
    "queue": queue_part.run,
    "pages": pages_part.run,
    "idle": idle_part.run,
    "live": live_part.run,
    "search": search_part.run,
    "sources": sources_part.run,
    "imports": imports_part.run,
}


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help="which parts; all unless given")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full data, such as 0.1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("/dev/shm"), help="a tmpfs; made if absent")  # noqa: S108
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"))
    parser.add_argument("--docs", action="store_true", help="put the figures into docs/performance.md")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "scale": options.scale,
    }
    for name in options.parts or PARTS:
        results[name] = PARTS[name](options.work, options.scale, options.rounds)
    if options.docs and "bundle" in results:
        document.draw(results["bundle"], bundle_part.summary(results["bundle"]), Path("docs/performance.md"))
    drawn = {
        "queue": queue_report.lines, "incidents": incidents_part.lines, "pages": pages_part.lines,
        "idle": idle_part.lines, "live": live_part.lines, "search": search_part.lines,
        "sources": sources_part.lines, "imports": imports_part.lines,
    }  # fmt: skip
    for name in drawn.keys() & results.keys() if options.docs else ():
        document.draw_lines(name, drawn[name](results[name]), Path("docs/performance.md"))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nwritten to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
