"""The part of live pages: what 200 open pages of jobs cost the web processes.

Four jobs run, as many as there are workers by default, and report progress every second; the others wait in the queue.
Each page asks as static/live.js does in a visible tab: at once after a change, and less often the longer nothing
changes. The web server is `manage.py serve` on a database of its own; its processes are watched through /proc.
"""

from __future__ import annotations

import asyncio
import html
import os
import random
import re
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil

from benchmarks import queue_running, queue_site
from benchmarks.queue_lab import Lab, open_lab
from benchmarks.queue_report import percentiles
from benchmarks.queue_sides.known import OURS

DATABASE = "bench_live"
PAGES, RUNNING = 200, 4
SETTLES_S, WATCHED_S = 60.0, 60.0
MOST_PERCENT = 10.0
# As in static/live.js.
FIRST_S, GROWTH, SLOWEST_S = 1.9, 1.3, 15.0
RUN = """
UPDATE orchestrator_jobs SET status = 'processing', worker_id = 'host-a/1', lease_token = gen_random_uuid(),
    lease_expires_at = now() + interval '1 hour', started_at = now(), attempts = 1
WHERE job_id IN (SELECT job_id FROM orchestrator_jobs ORDER BY job_id LIMIT %s)
"""
REPORT = """
UPDATE orchestrator_jobs SET progress = jsonb_build_object(
    'phase', 'packing', 'done', %s, 'total', 1000, 'unit', 'records', 'share', %s / 1000.0)
WHERE status = 'processing'
"""


@dataclass
class Heard:
    """What the pages were answered: how often each status, and the seconds of each request."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def run(work: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Measure it.

    Args:
        work: where the database lives.
        scale: share of the full time of watching.
        rounds: not used: one long look says more than some short ones.

    Returns:
        Percent of a core of the web processes, requests a second by status, p95 in seconds.
    """
    del rounds
    with open_lab(work) as lab:
        lab.create(DATABASE)
        queue_running.run(lab, OURS, DATABASE, "install")
        with queue_site.served(lab, DATABASE) as site:
            site.enqueue(-(-PAGES // queue_site.CLIENTS) * queue_site.CLIENTS)
            report = asyncio.run(_watch(lab, site, scale))
    for line in lines(report):
        print(line)
    return report


def lines(report: dict[str, Any]) -> list[str]:
    """The report as Markdown."""
    filled = (
        f"{report['pages']} pages, {report['running']} of them of running jobs, over {report['watched_s']:.0f} s; "
        f"load average {report['load']:.1f}."
    )
    row = (
        f"| {report['percent']:.1f} % of a core | {report['rate']:.1f} | {100 * report['unchanged']:.0f} % | "
        f"{1000 * report['p95']:.0f} ms |"
    )
    head = "| web processes | requests a second | of these unchanged | p95 |"
    found = [filled, "", head, "|---|---|---|---|", row]
    return [*found, "", f"Beyond the budget: {'cpu' if report['percent'] > MOST_PERCENT else 'none'}."]


async def _watch(lab: Lab, site: queue_site.Site, scale: float) -> dict[str, Any]:
    with closing(lab.connect(DATABASE)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(RUN, [RUNNING])
            cursor.execute("SELECT job_id FROM orchestrator_jobs ORDER BY job_id LIMIT %s", [PAGES])
            ids = [str(row[0]) for row in cursor.fetchall()]
        heard = Heard()
        tasks = [asyncio.create_task(_page(site, job_id, heard)) for job_id in ids]
        tasks.append(asyncio.create_task(_report_progress(connection)))
        await asyncio.sleep(SETTLES_S * scale)
        heard.statuses.clear()
        heard.seconds.clear()
        before, began = _cpu_s(), time.monotonic()
        await asyncio.sleep(WATCHED_S * scale)
        cpu_s, watched_s = _cpu_s() - before, time.monotonic() - began
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()  # raises what ended it
    requests = sum(heard.statuses.values())
    return {
        "pages": PAGES, "running": RUNNING, "watched_s": watched_s, "load": os.getloadavg()[0],
        "percent": 100 * cpu_s / watched_s, "rate": requests / watched_s,
        "unchanged": heard.statuses[HTTPStatus.NO_CONTENT] / requests, **percentiles(heard.seconds),
    }  # fmt: skip


async def _page(site: queue_site.Site, job_id: str, heard: Heard) -> None:
    """One open page: opened some time within the first seconds, then asking for its live part."""
    await asyncio.sleep(random.random() * 5)
    path, quiet, version = f"/console/jobs/{job_id}", 0, ""
    while True:
        started = time.perf_counter()
        status, body = await _get(site, path)
        heard.seconds.append(time.perf_counter() - started)
        heard.statuses[status] += 1
        quiet += 1
        if status == HTTPStatus.OK:
            path = html.unescape(_attribute(body, "hx-get"))
            quiet = quiet if _attribute(body, "data-version") == version else 0
            version = _attribute(body, "data-version")
        await asyncio.sleep(max(0.0, started + min(FIRST_S * GROWTH**quiet, SLOWEST_S) - time.perf_counter()))


async def _get(site: queue_site.Site, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.api_port)
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Cookie: {site.cookie}",
        "HX-Request: true",
        "Connection: close",
    )
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = (await reader.read()).decode()
    writer.close()
    status = int(answer.split(" ", 2)[1])
    if status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
        raise RuntimeError(f"{path} answered {answer[:300]}")
    return status, answer


def _attribute(body: str, name: str) -> str:
    found = re.search(rf'{name}="([^"]+)"', body)
    if found is None:
        raise RuntimeError(f"a page of an active job has no {name}: {body[:300]}")
    return found[1]


async def _report_progress(connection: Any) -> None:
    for done in range(1, 1000):
        with connection.cursor() as cursor:
            cursor.execute(REPORT, [done, done])
        await asyncio.sleep(1)


def _cpu_s() -> float:
    """Processor seconds of the web processes so far."""
    processes = psutil.Process().children(recursive=True)
    web = [one for one in processes if "serve" in one.cmdline() or "gunicorn" in " ".join(one.cmdline())]
    return sum(sum(one.cpu_times()[:2]) for one in web)
