"""The queue part: ours, three known queues and a hand-written loop in turn, then ours alone with a million jobs."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks import queue_bloat, queue_million, queue_report, queue_site
from benchmarks.queue_lab import Lab, open_lab
from benchmarks.queue_sides.known import BY_HAND, OURS, PEERS, Side, versions
from benchmarks.queue_speed import Bench

ASKED_EVERY_S = 0.1
DRAINED, ASKED, READ, ENQUEUED = 5_000, 300, 100, 3_200


def run(work: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Measure.

    Args:
        work: where the database lives; a tmpfs, so that the disk does not decide.
        scale: share of the full counts; jobs to drain and to ask for never fall below a fifth.
        rounds: how often each side drains, and each database is claimed from; A B A B.

    Returns:
        Jobs a second, percentiles in seconds and ratios, ready for JSON.
    """
    known = versions()
    peers = [peer for peer in PEERS if peer.distribution in known]
    share = min(1.0, max(0.2, scale))
    report: dict[str, Any] = {
        "versions": {peer.name: known.get(peer.distribution, "not installed") for peer in PEERS},
        "rounds": rounds,
        "load_before": os.getloadavg()[0],
    }
    with open_lab(work) as lab:
        bench = Bench(lab)
        bench.install([OURS, *peers])
        report["jobs_drained"] = round(DRAINED * share)
        report["drained"] = _drain(bench, [OURS, BY_HAND, *peers], report["jobs_drained"], rounds)
        report["started"] = _start(bench, [OURS, *peers], round(ASKED * share), rounds)
        report["million"] = queue_million.make(lab, scale, rounds)
        claims = queue_million.claims(lab, rounds)
        report["claimed"] = {name: queue_report.percentiles(seconds) for name, seconds in claims.items()}
        report |= _site(lab, share)
        report["churned"] = queue_bloat.measure(lab, share)
    report["load_after"] = os.getloadavg()[0]
    for line in queue_report.lines(report):
        print(line)
    return report


def _drain(bench: Bench, sides: list[Side], jobs: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median jobs a second, and the median over the rounds of ours divided by the side's of the same round."""
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for side in sides:
            rates[side.name].append(bench.drain(side, jobs))
            print(f"drained by {side.name}: {rates[side.name][-1]:.0f} a second", flush=True)
    ours = rates[OURS.name]
    return {
        name: {
            "a_second": statistics.median(mine),
            "ours_times_faster": statistics.median(o / m for o, m in zip(ours, mine, strict=True)),
        }
        for name, mine in rates.items()
    }


def _start(bench: Bench, sides: list[Side], jobs: int, rounds: int) -> dict[str, dict[str, float]]:
    """Percentiles of the time from enqueue to start, over all rounds."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for side in sides:
            seconds[side.name] += bench.ask(side, -(-jobs // rounds))
    return {name: queue_report.percentiles(values) for name, values in seconds.items()}


def _site(lab: Lab, share: float) -> dict[str, Any]:
    """What the web server takes with a million jobs queued and with a million done, and for requests for new ones."""
    pages = {}
    for database in (queue_million.MILLION_QUEUED, queue_million.MILLION_DONE):
        with queue_site.served(lab, database) as site:
            for name, (port, path) in site.reads().items():
                pages[f"{name} / {database}"] = queue_report.percentiles(site.get(port, path, round(READ * share)))
            if database == queue_million.MILLION_DONE:
                asked = round(ENQUEUED * share)
                enqueued = {
                    "without pause": queue_report.percentiles(site.enqueue(asked)),
                    f"each {round(1 / ASKED_EVERY_S)} times a second": queue_report.percentiles(
                        site.enqueue(asked, ASKED_EVERY_S)
                    ),
                }
    return {"pages": pages, "enqueued": enqueued}
