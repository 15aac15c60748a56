"""The part of the console's pages: server time, queries and first paint with 100,000 jobs and 1,000,000 alerts.

Server time is what a caller waits for `manage.py serve` (gunicorn, all middleware, the database) over loopback on one
kept connection, one request after the other. Queries are counted in a process of its own by Django's test client.
First contentful paint is told by Chromium itself, with a cache that is empty before each page.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks import pages_rows, queue_running, queue_site
from benchmarks.queue_lab import Lab, open_lab
from benchmarks.queue_report import percentiles
from benchmarks.queue_sides.known import OURS, ROOT

DATABASE = "bench_pages"
REQUESTS, PAINTS = 60, 5
MOST_MS, MOST_QUERIES, LATEST_PAINT_MS, SLOW_QUERY_MS = 150, 12, 500, 20
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAINT = """() => new Promise((resolve) => {
  const told = performance.getEntriesByName("first-contentful-paint")[0];
  if (told) { resolve(told.startTime); return; }
  new PerformanceObserver((list) => {
    const entry = list.getEntriesByName("first-contentful-paint")[0];
    if (entry) resolve(entry.startTime);
  }).observe({type: "paint", buffered: true});
})"""


def run(work: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Measure every page.

    Args:
        work: where the database lives.
        scale: share of the full number of rows.
        rounds: how often the pages are gone through, one after the other.

    Returns:
        For each page p50, p95 and p99 in seconds, queries, the slowest of them, and the first paint in milliseconds.
    """
    counts = pages_rows.Counts().scaled(min(1.0, scale))
    with open_lab(work) as lab:
        lab.create(DATABASE)
        queue_running.run(lab, OURS, DATABASE, "install")
        with closing(lab.connect(DATABASE)) as connection:
            pages_rows.make(connection, counts)
        lab.settle(DATABASE)
        with queue_site.served(lab, DATABASE) as site:
            pages = _asked(lab)
            seconds: dict[str, list[float]] = {name: [] for name in pages}
            for _ in range(rounds):
                for name, page in pages.items():
                    wanted = HTTPStatus(page["status"])
                    seconds[name] += site.get(site.api_port, page["path"], -(-REQUESTS // rounds), wanted)
            for name, page in pages.items():
                page.update(percentiles(seconds[name]))
            _paint(site, pages)
    report = {"rows": vars(counts), "rounds": rounds, "load": os.getloadavg()[0], "pages": pages}
    for line in (*lines(report), *_slow(pages)):
        print(line)
    return report


def lines(report: dict[str, Any]) -> list[str]:
    """The report as Markdown."""
    rows = report["rows"]
    filled = (
        f"{rows['jobs']:,} jobs, {rows['bundles']:,} bundles with {rows['bundled']:,} artifacts, {rows['alerts']:,} "
        f"alerts, {rows['events']:,} timeline events, {rows['custody']:,} custody events; "
        f"load average {report['load']:.1f}."
    )
    found = [
        filled,
        "",
        "| page | p50 | p95 | queries | slowest query | first paint |",
        "|---|---|---|---|---|---|",
    ]
    for name, page in report["pages"].items():
        paint = f"{page['paint_ms']:.0f} ms" if "paint_ms" in page else "-"
        found.append(
            f"| {name} | {1000 * page['p50']:.0f} ms | {1000 * page['p95']:.0f} ms | {page['queries']} | "
            f"{page['slowest_ms']:.0f} ms | {paint} |"
        )
    beyond = [name for name, page in report["pages"].items() if _is_beyond(page)]
    return [*found, "", f"Beyond the budget: {', '.join(beyond) or 'none'}."]


def _is_beyond(page: dict[str, Any]) -> bool:
    late = page.get("paint_ms", 0) > LATEST_PAINT_MS
    return late or 1000 * page["p95"] > MOST_MS or bool(page["queries"] > MOST_QUERIES)


def _slow(pages: dict[str, Any]) -> list[str]:
    """The queries to look at, for the terminal: a page's slowest, where it takes long."""
    return [
        f"slow query of {name}, {page['slowest_ms']:.0f} ms: {' '.join(page['slowest_sql'].split())}"
        for name, page in pages.items()
        if page["slowest_ms"] > SLOW_QUERY_MS
    ]


def _asked(lab: Lab) -> dict[str, dict[str, Any]]:
    """What `pages_side` tells of each page."""
    with (lab.folder / queue_running.LOG).open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.pages_side"],
            cwd=ROOT, env=queue_running.environment(lab, DATABASE), check=True, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    return dict(json.loads(done.stdout))


def _paint(site: queue_site.Site, pages: dict[str, dict[str, Any]]) -> None:
    """Add `paint_ms`, the median first contentful paint, where there is a browser."""
    from playwright.sync_api import sync_playwright  # only this part needs the browser

    browser_path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser_path is None:
        return
    address = f"http://127.0.0.1:{site.api_port}"
    name, _, value = site.cookie.partition("=")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for told in pages.values():
            times = []
            for _ in range(PAINTS):
                context = browser.new_context(viewport={"width": 1280, "height": 900})
                context.add_cookies([{"name": name, "value": value, "url": address}])
                page = context.new_page()
                page.goto(address + told["path"])
                times.append(page.evaluate(PAINT))
                context.close()
            told["paint_ms"] = statistics.median(times)
        browser.close()
