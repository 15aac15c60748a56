"""Our side of the bundle part, as a process of its own: `python -m benchmarks.ours create|verify|extract …`.

Prints JSON: the seconds that the work took, and the peak resident memory above that of the idle process, in bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

from bundles.format.model import paths
from bundles.format.model.records import RecordSpool, write_timeline
from bundles.format.model.signing import KeyRing, SigningKey
from bundles.format.reading.extract import extract_bundle
from bundles.format.reading.verify import verify_bundle
from bundles.format.writing.payload import Payload
from bundles.format.writing.writer import write_bundle


def payloads(data: Path, staging: Path) -> list[Payload]:
    """Every file below `data/files` as an artifact, and three data members without records."""
    staging.mkdir(parents=True, exist_ok=True)
    write_timeline(staging / paths.TIMELINE, {"incident_id": "bench", "event_count": 0}, [])
    for name in (paths.ALERTS, paths.ARTIFACTS):
        RecordSpool(staging).write_array(staging / name)
    members = [Payload.of_file(name, staging / name) for name in paths.DATA_MEMBERS]
    for file in sorted((data / "files").iterdir()):
        artifact_id = hashlib.sha256(file.name.encode()).hexdigest()[:32]
        members.append(Payload.of_file(paths.artifact_path(artifact_id, file.name), file))
    return members


def _memory(field: str) -> int:
    """Bytes that /proc/self/status tells; getrusage's maximum would begin with that of the process that started us."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise AssertionError(f"{field} is not told")


def main() -> int:
    """Do one thing and say what it cost."""
    what, data, out, key, public = sys.argv[1], *map(Path, sys.argv[2:6])
    bundle = out / "ours.tar.zst"
    idle = _memory("VmRSS")
    started = time.perf_counter()
    if what == "create":
        write_bundle(bundle, incident_id="bench", payloads=payloads(data, out / "staging"), key=SigningKey.load(key))
    elif what == "verify":
        verify_bundle(bundle, KeyRing.load([public]))
    else:
        extract_bundle(bundle, KeyRing.load([public]), out / "unpacked")
    seconds = time.perf_counter() - started
    peak = _memory("VmHWM") - idle
    print(json.dumps({"seconds": seconds, "rss_bytes": peak, "size": bundle.stat().st_size}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
