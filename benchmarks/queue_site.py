"""The product's own web server, `manage.py serve`, on a database of the laboratory, and callers that time it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from benchmarks import queue_running
from benchmarks.queue_lab import Lab
from benchmarks.queue_sides.known import OURS, ROOT
from benchmarks.surroundings import free_ports

PATIENCE_S = 60.0
CLIENTS = 16


@dataclass(frozen=True)
class Site:
    """A running web server; `cookie` is the session of an admin."""

    api_port: int
    metrics_port: int
    cookie: str

    def reads(self) -> dict[str, tuple[int, str]]:
        """The pages that must stay quick with many jobs: name to port and path."""
        return {
            "GET /jobs": (self.api_port, "/jobs"),
            "console page of jobs": (self.api_port, "/console/jobs"),
            "admin list of jobs": (self.api_port, "/admin/jobs/job/"),
            "metrics scrape": (self.metrics_port, "/metrics"),
        }

    def get(self, port: int, path: str, times: int, wanted: HTTPStatus = HTTPStatus.OK) -> list[float]:
        """Seconds of each of `times` requests, one after the other on one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        seconds = []
        for _ in range(times + 1):
            started = time.perf_counter()
            connection.request("GET", path, headers={"Cookie": self.cookie})
            _hold(connection, wanted)
            seconds.append(time.perf_counter() - started)
        connection.close()
        return seconds[1:]

    def enqueue(self, requests: int, every_s: float = 0.0) -> list[float]:
        """Seconds of each request for a bundle with an idempotency key, of `CLIENTS` clients at once.

        Args:
            requests: how many in all.
            every_s: the time from one request of a client to its next; without pause unless given.
        """
        with ThreadPoolExecutor(CLIENTS) as pool:
            parts = list(pool.map(lambda n: self._ask(requests // CLIENTS, n, every_s), range(CLIENTS)))
        return [seconds for part in parts for seconds in part]

    def _ask(self, requests: int, number: int, every_s: float) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=PATIENCE_S)
        seconds = []
        begin = time.perf_counter() + every_s * number / CLIENTS
        for request in range(requests):
            time.sleep(max(0.0, begin + every_s * request - time.perf_counter()))
            name = uuid.uuid4().hex
            body = json.dumps({"incident_id": f"incident-{name}", "idempotency_key": name})
            started = time.perf_counter()
            connection.request("POST", "/bundle/create", body, {"Content-Type": "application/json"})
            _hold(connection, HTTPStatus.ACCEPTED)
            seconds.append(time.perf_counter() - started)
        connection.close()
        return seconds


@contextmanager
def served(lab: Lab, database: str) -> Iterator[Site]:
    """The web server on `database`, stopped at the end."""
    prepared = queue_running.run(lab, OURS, database, "prepare")
    ports = free_ports(2)
    environ = {
        **queue_running.environment(lab, database),
        "ORCH_API_PORT": str(ports[0]),
        "ORCH_METRICS_PORT": str(ports[1]),
        "ORCH_SECRET_KEY": prepared["secret_key"],
        "ORCH_ANONYMOUS_API_ROLE": "operator",
    }
    with (lab.folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    site = Site(ports[0], ports[1], f"sessionid={prepared['session']}")
    try:
        _wait_until_it_answers(site)
        yield site
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_answers(site: Site) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            for port, path in site.reads().values():
                site.get(port, path, 8)  # enough to reach each of its processes
            return
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.1)


def _hold(connection: http.client.HTTPConnection, wanted: HTTPStatus) -> None:
    """Read the whole answer.

    Raises:
        RuntimeError: it has another status than `wanted`.
    """
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != wanted:
        raise RuntimeError(f"answered {answer.status}: {body[:300]!r}")
