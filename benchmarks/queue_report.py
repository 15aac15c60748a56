"""The queue part's figures as lines: the same for the terminal and, as Markdown, for docs/performance.md."""

from __future__ import annotations

from typing import Any

from benchmarks import queue_million, queue_site
from benchmarks.queue_sides.known import BY_HAND, OURS, PEERS
from benchmarks.queue_speed import PROCESSES

STATES = {
    queue_million.FEW_QUEUED: f"{queue_million.FEW:,} queued",
    queue_million.MILLION_QUEUED: "{million:,} queued",
    queue_million.MILLION_DONE: f"{queue_million.FEW:,} queued, {{million:,}} done before",
}


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and p99 of measured times, each a time that was measured."""
    ordered = sorted(seconds)
    return {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 95, 99)}


def lines(report: dict[str, Any]) -> list[str]:
    """The report as Markdown."""
    how = (
        f"{report['jobs_drained']:,} jobs that register one row each, medians of {report['rounds']} rounds in turn; "
        f"one job a claim, "
        f"{PROCESSES} worker processes to drain, one to start. Load average {report['load_before']:.1f} before, "
        f"{report['load_after']:.1f} after."
    )
    return [how, "", *_sides(report), "", *_alone(report), "", *_churned(report)]


def _sides(report: dict[str, Any]) -> list[str]:
    rows = [
        "| | jobs a second | ours is faster by | enqueue to start, p50 / p99 | set to |",
        "|---|---|---|---|---|",
    ]
    for side in (*PEERS, BY_HAND, OURS):
        drained, started = report["drained"].get(side.name), report["started"].get(side.name)
        version = report["versions"].get(side.name, "")
        if drained is None:
            rows.append(f"| {side.name} | could not be installed | - | - | - |")
            continue
        faster = "-" if side is OURS else f"{drained['ours_times_faster']:.2f}x"
        start = f"{_ms(started['p50'])} / {_ms(started['p99'])}" if started else "-"
        rows.append(
            f"| {f'{side.name} {version}'.strip()} | {drained['a_second']:.0f} | {faster} | {start} | {side.settings} |"
        )
    return rows


def _alone(report: dict[str, Any]) -> list[str]:
    million = report["million"]
    rows = ["| ours alone | p50 | p95 | p99 |", "|---|---|---|---|"]
    measured = {f"claim, {STATES[name].format(million=million)}": values for name, values in report["claimed"].items()}
    enqueue = f"`POST /bundle/create` with an idempotency key, {queue_site.CLIENTS} clients"
    measured |= {f"{enqueue} {pace}": figures for pace, figures in report["enqueued"].items()}
    for name, values in report["pages"].items():
        page, _, database = name.partition(" / ")
        state = "queued" if database == queue_million.MILLION_QUEUED else "done"
        measured[f"{page}, {million:,} jobs {state}"] = values
    rows += [
        f"| {name} | " + " | ".join(_ms(values[share]) for share in ("p50", "p95", "p99")) + " |"
        for name, values in measured.items()
    ]
    return rows


def _churned(report: dict[str, Any]) -> list[str]:
    jobs = next(iter(report["churned"].values()))["jobs"]
    rows = [
        (
            f"| {jobs:,} jobs one after the other, 1,000 waiting | tables and indexes before | after | "
            "claim p99, first tenth | last tenth |"
        ),
        "|---|---|---|---|---|",
    ]
    for name, found in report["churned"].items():
        before, after = (sum(found[when].values()) / 2**20 for when in ("bytes_before", "bytes_after"))
        first, last = (_ms(found[when]["p99"]) for when in ("first", "last"))
        rows.append(f"| {name} | {before:.1f} MiB | {after:.1f} MiB | {first} | {last} |")
    return rows


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
