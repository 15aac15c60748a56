"""The bundle part: create, verify and extract, ours and the peers' in turn, medians and ratios of the same run."""

from __future__ import annotations

import shutil
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks import bundle_extras, evidence, peers
from benchmarks.command import fresh, ours
from bundles.format.model.signing import SigningKey, generate_key

OURS = "ours"


def run(work: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Measure.

    Args:
        work: where data and output go; a tmpfs, so that the disk does not decide.
        scale: share of 2.07 GB.
        rounds: how often each is run; A B A B.

    Returns:
        Medians in seconds, ratios, sizes and memory, ready for JSON.
    """
    folder = work / "orchestrator-bench"
    data = folder / f"data-{scale}"
    total = evidence.make(data, scale)
    key, public = folder / "key.pem", folder / "public.pem"
    if not key.exists():
        generate_key(key)
    public.write_bytes(SigningKey.load(key).public_pem())
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    rss: dict[str, int] = {}
    sizes: dict[str, int] = {}
    # All write to one folder, emptied before each: fresh memory is slow, and nobody is to pay for what others left.
    out = folder / "out"
    for _ in range(rounds):
        for peer in peers.PEERS:
            fresh(out)
            for what, script in (("create", peer.create), ("verify", peer.verify), ("extract", peer.unpack)):
                if script:
                    started = time.perf_counter()
                    peers.run(script, data=data, out=out, key=key, public=public)
                    times[peer.name, what].append(time.perf_counter() - started)
            sizes[peer.name] = (out / "out.tar.zst").stat().st_size
        fresh(out)
        for what in ("create", "verify", "extract"):
            cost = ours(what, data, out, key, public)
            times[OURS, what].append(cost["seconds"])
            rss[what] = max(rss.get(what, 0), cost["rss_bytes"])
            sizes[OURS] = cost["size"]
    refusals = bundle_extras.refusals(out / "ours.tar.zst", folder)
    shutil.rmtree(out)
    report = _report(total, times, rss, sizes)
    report["refusal_seconds"] = refusals
    report["real_path_seconds"] = bundle_extras.real_path(folder, data, key, public)
    report["disk_seconds"] = bundle_extras.on_disk(data, key, public)
    report["many_files"] = bundle_extras.many_files(folder, key, public)
    report["rss_bytes_larger"] = bundle_extras.four_times_larger(folder, scale, key, public)
    for line in summary(report):
        print(line)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """What was measured besides, one line each."""
    create = report["seconds"][f"{OURS} / create"]
    many = report["many_files"]
    larger = {what: peak - report["rss_bytes"][what] for what, peak in report["rss_bytes_larger"].items()}
    return [
        "refused: " + ", ".join(f"{what} in {s * 1000:.0f} ms" for what, s in report["refusal_seconds"].items()),
        f"real path (sources over HTTP, process start included): {create / report['real_path_seconds']:.2f}x the core",
        f"fsynced to disk: {report['disk_seconds'] / create:.2f}x the time of tmpfs",
        "100,000 files: "
        + ", ".join(f"{what} {c['seconds']:.1f} s, {c['rss_bytes'] / 2**20:.0f} MiB" for what, c in many.items()),
        "files four times larger: " + ", ".join(f"{what} {more / 2**20:+.0f} MiB" for what, more in larger.items()),
    ]


def _report(
    total: int, times: dict[tuple[str, str], list[float]], rss: dict[str, int], sizes: dict[str, int]
) -> dict[str, Any]:
    medians = {key: statistics.median(values) for key, values in times.items()}
    print(f"\nbundle part: {total / 1e9:.2f} GB; MB/s, and how many times faster ours is in the same run\n")
    print(f"{'':40}{'create':>18}{'verify':>18}{'extract':>18}")
    for name in (*[peer.name for peer in peers.PEERS], OURS):
        cells = []
        for what in ("create", "verify", "extract"):
            if (name, what) in medians:
                ratio = medians[name, what] / medians[OURS, what]
                cells.append(f"{total / 1e6 / medians[name, what]:8.0f} ({ratio:5.2f}x)")
            else:
                cells.append("-")
        print(f"{name:40}" + "".join(f"{cell:>18}" for cell in cells))
    print("\npeak memory above idle: " + ", ".join(f"{what} {peak / 2**20:.0f} MiB" for what, peak in rss.items()))
    print("size: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()))
    return {
        "bytes": total,
        "seconds": {f"{name} / {what}": value for (name, what), value in medians.items()},
        "times_faster": {
            f"{name} / {what}": value / medians[OURS, what] for (name, what), value in medians.items() if name != OURS
        },
        "rss_bytes": rss,
        "sizes": sizes,
    }
