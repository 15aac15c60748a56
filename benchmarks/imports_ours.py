"""Our side of the imports part, as a process of its own: `imports_ours DELIVERED_FOLDER NAME WORK KEY`.

Reads the delivered file and packs it as the job `bundle_create` does, and prints JSON: the seconds of both, the peak
resident memory in bytes, what was read, and what is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path

from bundles.format.model.signing import SigningKey
from bundles.handlers.pack import pack
from bundles.intake import adapter
from bundles.intake.delivered import DELIVERED

INCIDENT = "bench"


def main() -> None:
    """Import and report."""
    folder, name, work, key = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), SigningKey.load(Path(sys.argv[4]))
    with (folder / DELIVERED).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # the product has it from the upload
    staging = work / "staging"
    staging.mkdir()
    source = adapter.source(folder, name, sha256=sha256)
    started = time.perf_counter()
    evidence = source.collect(INCIDENT, staging, allow_partial=True, on_progress=lambda _: None, check=lambda: None)
    collected = time.perf_counter()
    made = pack(
        evidence, work / "bundle", incident_id=INCIDENT, key=key, chunk_size_mb=64, compression="zstd", progress=None,
        ranges=True,
    )  # fmt: skip
    packed = time.perf_counter()
    memory = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    said = {
        "collect_s": collected - started, "pack_s": packed - collected, "seconds": packed - started,
        "cpu_s": sum(os.times()[:2]), "rss_bytes": int(memory) * 1024, "counts": evidence.counts,
        "missing": len(evidence.missing), "size": made.size,
    }  # fmt: skip
    print(json.dumps(said))


if __name__ == "__main__":
    main()
