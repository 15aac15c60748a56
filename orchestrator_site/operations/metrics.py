"""Prometheus metrics on a separate port: `GET /metrics` only.

`orch_*` are computed from the database at each scrape, so they are right whichever process or host did the work, and
after restarts. `django_*` are django-prometheus's, summed over the web server's processes of this host since it
started. Without a database the scrape still answers, with `orch_database_up 0` in place of the other `orch_*`.
"""

from __future__ import annotations

import logging
import math
import shutil
import socket
import struct
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from psycopg2.extensions import cursor as Cursor  # noqa: N812 # psycopg2 names the class like an instance

from bundles import measures
from jobs.queue import queue_depth
from orchestrator_site.operations.probe_connection import DatabaseError, quick_cursor

log = logging.getLogger(__name__)

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SOCKET_TIMEOUT_S = 5
READ_TRIES = 3
HISTOGRAMS = (
    (measures.SIZE_NAME, "Size of the bundles that were made.", measures.SIZE_BUCKETS_BYTES),
    (measures.DURATION_NAME, "Time from the start of a bundle's job to its end.", measures.DURATION_BUCKETS_S),
)


def fresh_directory(var_dir: Path, api_port: int) -> Path:
    """An empty directory for the metrics of the web server's processes; those of an earlier run are removed.

    Args:
        var_dir: where run-time state lives.
        api_port: the web server's port, which keeps two servers on one directory apart.
    """
    directory = var_dir / "metrics" / str(api_port)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


class OrchestratorCollector(Collector):
    """The `orch_*` metrics, read from the database by one short read-only transaction a scrape."""

    def collect(self) -> Iterator[Metric]:
        """Every family, or `orch_database_up 0` alone."""
        up = GaugeMetricFamily("orch_database_up", "Whether the database answered this scrape.")
        try:
            with quick_cursor() as cursor:
                families = [_queued(cursor), _totals(cursor), *_histograms(cursor)]
        except DatabaseError as error:
            log.warning("metrics: the database does not answer (%s)", type(error).__name__)
            families = []
        up.add_metric([], 1 if families else 0)
        yield up
        yield from families


class WebProcessesCollector(Collector):
    """What the web server's processes counted, from their shared directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def collect(self) -> Iterable[Metric]:
        """Every family; a process that is just making its file is read again."""
        for _ in range(READ_TRIES):
            try:
                collector = MultiProcessCollector(None, str(self.directory))  # type: ignore[no-untyped-call]
                return list(collector.collect())  # type: ignore[no-untyped-call]
            except (struct.error, ValueError, OSError) as error:
                last = error
        log.warning("metrics: the web server's counts cannot be read (%s)", type(last).__name__)
        return []


class MetricsServer(ThreadingHTTPServer):
    """Serves one registry. Binding happens in the constructor, so a port in use is known at once."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], directory: Path) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(OrchestratorCollector())
        self.registry.register(WebProcessesCollector(directory))
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _MetricsHandler)

    def serve_for_ever(self) -> None:
        """Answer scrapes; sleeps in between, as nobody calls `shutdown`."""
        self.serve_forever(poll_interval=None)  # type: ignore[arg-type] # given on to select, which takes None


class _MetricsHandler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = SOCKET_TIMEOUT_S
    server_version = "metrics"
    sys_version = ""

    def do_GET(self) -> None:
        """The metrics, or 404."""
        if self.path.partition("?")[0] != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"Only /metrics is here.\n")
            return
        encode, media_type = choose_encoder(self.headers.get("Accept", ""))
        self._answer(HTTPStatus.OK, media_type, encode(self.server.registry))

    do_HEAD = do_GET  # noqa: N815 # the name http.server asks for

    def _answer(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name http.server gives it
        """Do not log scrapes."""


def _queued(cursor: Cursor) -> Metric:
    family = GaugeMetricFamily(
        "orch_jobs_queued", f"Jobs waiting for a worker; above {queue_depth.EXACT_UP_TO} the database's estimate."
    )
    family.add_metric([], float(queue_depth.queued(cursor)))
    return family


def _totals(cursor: Cursor) -> Metric:
    cursor.execute("SELECT job_type, status, sum(count) FROM orchestrator_job_totals GROUP BY 1, 2 ORDER BY 1, 2")
    family = CounterMetricFamily("orch_jobs", "How often a job entered a state.", labels=["job_type", "status"])
    for job_type, status, count in cursor.fetchall():
        family.add_metric([job_type, status], float(count))
    return family


def _histograms(cursor: Cursor) -> Iterator[Metric]:
    for name, documentation, bounds in HISTOGRAMS:
        cursor.execute("SELECT le, count, total FROM orchestrator_measures WHERE name = %s", [name])
        rows = cursor.fetchall()
        buckets = [
            (_label(bound), float(sum(count for le, count, _ in rows if le <= bound))) for bound in (*bounds, math.inf)
        ]
        family = HistogramMetricFamily(name, documentation)
        family.add_metric([], buckets, sum_value=float(sum(total for _, _, total in rows)))
        yield family


def _label(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]
