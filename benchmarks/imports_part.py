"""The part of imports: how fast a delivered file becomes a signed bundle, against the shell tools on the same bytes.

Ours is the path of the job: `LiveSource.collect` with the profile of an import, then `pack`. Every member is unpacked,
checked, hashed and staged; records are parsed, written in canonical form, and sorted; and all of it, with the delivered
file itself, is packed and signed.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.command import fresh
from bundles.format.model.signing import generate_key
from bundles.intake.delivered import DELIVERED

MEMBERS, TOTAL_BYTES = 10_000, 2_000_000_000
EVENTS = 1_000_000
MIB = 1 << 20
MOST_RSS_BYTES = 128 * MIB
HOSTS, USERS = 400, 60


def run(work: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Measure it.

    Args:
        work: where data and output go.
        scale: share of the full numbers.
        rounds: how often each is measured, in turn.

    Returns:
        For each case the seconds of both sides (medians), their ratio, its goal, and our memory.
    """
    base = fresh(work / "bench-imports")
    dice, cases = random.Random(17), {}
    try:
        made = _zip(fresh(base / "zip"), dice, int(MEMBERS * scale), int(TOTAL_BYTES * scale))
        command = f"unzip -p {made} | tee >(sha256sum > digest) | zstd -q -3 > contents.zst"
        what = f"a zip of {int(MEMBERS * scale):,} members and {TOTAL_BYTES * scale / 1e9:.1f} GB"
        cases["zip"] = _measured(base, rounds, made, what, ("unzip -p, sha256sum, zstd -3", command, 1.5))
        made = _timeline(fresh(base / "lines"), dice, int(EVENTS * scale))
        what = f"JSON lines of {int(EVENTS * scale):,} events"
        command = f"zstd -q -3 < {made} > events.zst"
        cases["timeline"] = _measured(base, rounds, made, what, ("zstd -3", command, 2.0))
    finally:
        fresh(base).rmdir()
    for line in lines(cases):
        print(line)
    return cases


def lines(cases: dict[str, Any]) -> list[str]:
    """The report as Markdown."""
    found = [
        f"Load average {cases['zip']['load']:.1f}.",
        "",
        "| imported | against | ratio of time | goal | reading | packing | RSS |",
        "|---|---|---|---|---|---|---|",
    ]
    beyond = []
    for name, case in cases.items():
        found.append(
            f"| {case['what']} | `{case['peer']}` | {case['ratio']:.2f} | ≤ {case['goal']:.2f} "
            f"| {case['collect_s']:.1f} s | {case['pack_s']:.1f} s | {case['rss_bytes'] / MIB:.0f} MiB |"
        )
        beyond += [name] if case["ratio"] > case["goal"] else []
        beyond += [f"{name} (RSS)"] if case["rss_bytes"] > MOST_RSS_BYTES else []
    return [*found, "", f"Beyond the goals: {', '.join(beyond) or 'none'}."]


def _measured(base: Path, rounds: int, made: Path, what: str, peer: tuple[str, str, float]) -> dict[str, Any]:
    out, key = base / "out", base / "key.pem"
    if not key.exists():
        generate_key(key)
    name, command, goal = peer
    theirs, said = [], []
    for _ in range(rounds):
        fresh(out)
        started = time.perf_counter()
        subprocess.run(command, shell=True, check=True, cwd=out, executable="/bin/bash")  # noqa: S602
        theirs.append(time.perf_counter() - started)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.imports_ours", made.parent, made.name, fresh(out), key],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        said.append(json.loads(done.stdout))
        if said[-1]["missing"]:
            raise AssertionError(f"{said[-1]['missing']} parts are missing")
    fresh(out)
    medians = {key: statistics.median(one[key] for one in said) for key in ("seconds", "collect_s", "pack_s", "cpu_s")}
    return {
        "what": what, "peer": name, "goal": goal, "load": os.getloadavg()[0], **medians,
        "theirs_s": statistics.median(theirs), "ratio": medians["seconds"] / statistics.median(theirs),
        "counts": said[0]["counts"], "rss_bytes": max(one["rss_bytes"] for one in said),
    }  # fmt: skip


def _zip(folder: Path, dice: random.Random, members: int, total: int) -> Path:
    """A zip of members that are packed to about a third, as collected files are; their sizes differ widely."""
    made = folder / DELIVERED
    words = [dice.randbytes(dice.randrange(3, 9)).hex().encode() for _ in range(4_000)]
    text = b" ".join(dice.choice(words) for _ in range(400_000))
    noise = dice.randbytes(MIB)
    weights = [dice.lognormvariate(0, 1) for _ in range(members)]
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, weight in enumerate(weights):
            info = zipfile.ZipInfo(f"C/Users/user{number % USERS}/file{number}.bin", (2026, 1, 2, 3, 4, 6))
            info.compress_type = zipfile.ZIP_DEFLATED
            left = max(1, int(total * weight / sum(weights)))
            with archive.open(info, "w") as out:
                out.write(f"{number:>16}".encode()[:left])
                left -= 16
                while left > 0:
                    part, at = (noise, 0.25) if dice.random() < 0.25 else (text, 0.75)
                    start = dice.randrange(int(len(part) * at))
                    left -= out.write(part[start : start + min(left, 60_000)])
    return made


def _timeline(folder: Path, dice: random.Random, events: int) -> Path:
    """JSON lines as Timesketch takes them."""
    made = folder / DELIVERED
    with made.open("w") as file:
        for number in range(events):
            hour, minute, second = number // 3600 % 24, number // 60 % 60, number % 60
            day = 1 + number * 27 // events
            event = {
                "message": f"[4624 / 0x1210] Provider: Security Strings: ['S-1-5-18', '{dice.getrandbits(64):x}']",
                "timestamp_desc": "Content Modification Time",
                "datetime": f"2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.{number % 1000:03}000+00:00",
                "hostname": f"host-{dice.randrange(HOSTS)}", "username": f"user{dice.randrange(USERS)}",
                "event_identifier": 4624, "event_level": 4, "record_number": number,
                "source_name": "Microsoft-Windows-Security-Auditing", "data_type": "windows:evtx:record",
            }  # fmt: skip
            file.write(json.dumps(event) + "\n")
    return made
