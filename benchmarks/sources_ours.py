"""Our side of the sources part, as a process of its own: `sources_ours timeline|alerts|artifacts URL STAGING`.

Collects that part as a job does, and prints JSON: the seconds that it took, and the peak resident memory in bytes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from bundles.sources.faults import Source
from bundles.sources.live import LiveSource
from bundles.sources.profiles import PARTS, Profile, System

INCIDENT = "bench"


def main() -> None:
    """Collect and report."""
    what, url, staging = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    part: Source = next(one for one in PARTS if one.key == what)
    system = System(name=what, adapter="ransomeye", url=url, timeout_s=60)
    source = LiveSource(profile=Profile(name="bench", systems={part: system}), storage=staging / "no-store")
    started = time.perf_counter()
    evidence = source.collect(INCIDENT, staging, allow_partial=False, on_progress=lambda _: None, check=lambda: None)
    seconds = time.perf_counter() - started
    memory = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    found = sum(evidence.counts.values())
    print(json.dumps({"seconds": seconds, "rss_bytes": int(memory) * 1024, "records": found}))


if __name__ == "__main__":
    main()
