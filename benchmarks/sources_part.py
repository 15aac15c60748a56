"""The part of sources: how fast evidence is fetched, against curl on the same server, and in how much memory.

Ours is the path of a job, `LiveSource.collect`: every byte is hashed, compared with its record, journalled and kept in
the staging folder; records are parsed, checked and written in canonical form.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.command import fresh
from benchmarks.sources_ours import INCIDENT
from benchmarks.sources_server import serving

FILES, FILE_BYTES = 5_000, 20_000
LARGE_BYTES = 2 << 30
RECORDS = 1_000_000
MIB = 1 << 20
MOST_RSS_BYTES = 96 * MIB
PATHS = {"timeline": f"/api/v1/timeline/{INCIDENT}", "alerts": "/query/alerts"}


def run(work: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Measure it.

    Args:
        work: where data and output go.
        scale: share of the full numbers.
        rounds: how often each is measured, in turn.

    Returns:
        For each case the seconds of both sides (medians), their ratio, its goal, and our memory.
    """
    base = fresh(work / "bench-sources")
    dice, cases = random.Random(7), {}
    try:
        cases["many"] = _measured(base, rounds, lambda root: _many(root, dice, int(FILES * scale)))
        cases["large"] = _measured(base, rounds, lambda root: _large(root, dice, int(LARGE_BYTES * scale)))
        cases["timeline"] = _measured(base, rounds, lambda root: _events(root, dice, int(RECORDS * scale)))
        cases["alerts"] = _measured(base, rounds, lambda root: _alerts(root, dice, int(RECORDS * scale)))
    finally:
        fresh(base).rmdir()
    for line in lines(cases):
        print(line)
    return cases


def lines(cases: dict[str, Any]) -> list[str]:
    """The report as Markdown."""
    found = [
        f"Served by {cases['many']['server']}; load average {cases['many']['load']:.1f}.",
        "",
        "| fetched | against | ratio of time | goal | RSS |",
        "|---|---|---|---|---|",
    ]
    beyond = []
    for name, case in cases.items():
        memory = case["rss_bytes"] / MIB
        found.append(
            f"| {case['what']} | `{case['peer']}` | {case['ratio']:.2f} | ≤ {case['goal']:.2f} | {memory:.0f} MiB |"
        )
        beyond += [name] if case["ratio"] > case["goal"] else []
        beyond += [f"{name} (RSS)"] if case["rss_bytes"] > MOST_RSS_BYTES else []
    return [*found, "", f"Beyond the goals: {', '.join(beyond) or 'none'}."]


Case = tuple[str, str, str, str, float]  # part, what is fetched, the peer in words, its command, the goal


def _measured(base: Path, rounds: int, make: Callable[[Path], Case]) -> dict[str, Any]:
    root, out = fresh(base / "root"), base / "out"
    part, what, peer, command, goal = make(root)
    ours, theirs, memory = [], [], []
    with serving(root, fresh(base / "server")) as (url, server):
        for _ in range(rounds):
            fresh(out)
            started = time.perf_counter()
            subprocess.run(command.replace("URL", url), shell=True, check=True, cwd=out, executable="/bin/bash")  # noqa: S602
            theirs.append(time.perf_counter() - started)
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.sources_ours", part, url, str(fresh(out))],
                check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            said = json.loads(done.stdout)
            ours.append(said["seconds"])
            memory.append(said["rss_bytes"])
    fresh(out)
    return {
        "what": what, "peer": peer, "goal": goal, "server": server, "load": os.getloadavg()[0],
        "ours_s": statistics.median(ours), "theirs_s": statistics.median(theirs),
        "ratio": statistics.median(ours) / statistics.median(theirs), "rss_bytes": max(memory),
    }  # fmt: skip


def _artifact(root: Path, artifact_id: str, pieces: list[bytes]) -> dict[str, Any]:
    file = root / "api/v1/artifacts" / artifact_id / "content"
    file.parent.mkdir(parents=True)
    digest = hashlib.sha256()
    with file.open("wb") as opened:
        for piece in pieces:
            digest.update(piece)
            opened.write(piece)
    size = file.stat().st_size
    return {"artifact_id": artifact_id, "name": f"{artifact_id}.bin", "size": size, "sha256": digest.hexdigest()}


def _many(root: Path, dice: random.Random, count: int) -> Case:
    records = [_artifact(root, f"file-{number}", [dice.randbytes(FILE_BYTES)]) for number in range(count)]
    (root / "artifacts.json").write_text(json.dumps({"artifacts": records}))
    asked = "".join(
        f'url = "URL/api/v1/artifacts/file-{number}/content"\noutput = "file-{number}"\n' for number in range(count)
    )
    (root / "curl.txt").write_text(asked)
    command = f"sed 's,URL,URL,' {root}/curl.txt > curl.txt; curl -sf --parallel --parallel-max 4 --config curl.txt"
    command = command.replace("'s,URL,", "'s,U[R]L,")
    return "artifacts", f"{count:,} artifacts of 20 KB", "curl --parallel --parallel-max 4", command, 1.3


def _large(root: Path, dice: random.Random, size_bytes: int) -> Case:
    block = dice.randbytes(MIB)
    pieces = [number.to_bytes(8, "big") + block[8:] for number in range(max(1, size_bytes // MIB))]
    (root / "artifacts.json").write_text(json.dumps({"artifacts": [_artifact(root, "large", pieces)]}))
    command = "curl -sf URL/api/v1/artifacts/large/content | sha256sum > digest"
    return "artifacts", f"one artifact of {len(pieces):,} MiB", "curl | sha256sum", command, 1 / 0.9


def _records(dice: random.Random, count: int) -> list[str]:
    return [
        json.dumps({
            "id": f"alert-{number}",
            "timestamp": f"2026-01-{1 + number * 27 // count:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}:00Z",
            "source": f"host-{dice.randrange(400)}", "target": f"host-{dice.randrange(400)}",
            "severity": dice.choice(("low", "medium", "high")), "description": f"{dice.getrandbits(64):x} seen",
        })
        for number in range(count)
    ]  # fmt: skip


def _events(root: Path, dice: random.Random, count: int) -> Case:
    file = root / PATHS["timeline"].lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text(f'{{"incident_id": "{INCIDENT}", "events": [{", ".join(_records(dice, count))}]}}')
    command = f"curl -sf URL{PATHS['timeline']} | zstd -q -3 > answer.zst"
    return "timeline", f"a timeline of {count:,} events", "curl | zstd -3", command, 2.0


def _alerts(root: Path, dice: random.Random, count: int) -> Case:
    file = root / PATHS["alerts"].lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text(f'{{"total": {count}, "alerts": [{", ".join(_records(dice, count))}]}}')
    command = f"curl -sf -X POST -d '{{}}' URL{PATHS['alerts']} | zstd -q -3 > answer.zst"
    return "alerts", f"alerts of {count:,} rows", "curl | zstd -3", command, 2.0
