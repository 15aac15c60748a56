"""How gunicorn serves the site: `manage.py serve` starts it with this file.

Threads carry slow uploads and downloads; the number of processes follows the cores. Nothing here holds a secret, and
the access log names neither queries nor headers, where tokens and cookies would stand.
"""

from __future__ import annotations

import ctypes
import os
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connections
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from prometheus_client import multiprocess

from foundation import process_memory
from foundation.log_format import JsonFormatter, TextFormatter
from orchestrator_site.accounts.mtls import Layout
from orchestrator_site.configuration import env

ENV = env.load(os.environ)
MAX_PROCESSES = 8
PR_SET_PDEATHSIG = 1
SUPERVISOR_VARIABLE = "ORCH_SUPERVISOR_PID"

wsgi_app = "orchestrator_site.wsgi:application"
proc_name = "ransomeye-orchestrator"
bind = [f"[{ENV.bind}]:{ENV.api_port}" if ":" in ENV.bind else f"{ENV.bind}:{ENV.api_port}"]
worker_class = "orchestrator_site.operations.web_worker.PatientWorker"
preload_app = True  # loaded once and shared: each process then holds only what it changes
workers = min(MAX_PROCESSES, max(2, len(os.sched_getaffinity(0))))
threads = ENV.web_threads
worker_connections = 1000
max_requests = 0  # a process that is replaced would cut off long downloads
timeout = 120  # without a heartbeat of the process, generous for a busy machine; long requests do not count
graceful_timeout = 20  # what running requests get after SIGTERM
keepalive = 5
backlog = 512
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
forwarder_headers = ""  # no header may name a path or a user on a proxy's behalf
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 # in memory: a slow disk is no dead process
errorlog = "-"
accesslog = "-"
access_log_format = "%(h)s %(m)s %(U)s %(s)s %(B)s bytes %(M)s ms"


class OneLineLogger(Logger):  # type: ignore[misc] # gunicorn has no type information
    """Writes each request on one line, in the format of all our logs, whatever characters its path decodes to."""

    def setup(self, cfg: Any) -> None:
        """Set the log up as gunicorn does, with our formatter."""
        super().setup(cfg)
        formatter = JsonFormatter() if ENV.profile == "production" else TextFormatter()
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(formatter)

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        """What a log line may name, the path percent-encoded again."""
        found: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        found["U"] = quote(found["U"] or "", encoding="latin-1")
        return found


logger_class = OneLineLogger
wsgi.SERVER = "ransomeye-orchestrator"  # the Server header without product and version of the web server

if ENV.mtls_enabled and ENV.mtls_cert_dir is not None:
    _layout = Layout.below(ENV.mtls_cert_dir)
    certfile = str(_layout.server_certificate)
    keyfile = str(_layout.server_key)
    ca_certs = str(_layout.ca)
    cert_reqs = ssl.CERT_REQUIRED


def ssl_context(config: Any, default_factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """TLS 1.2 or later; a client certificate is demanded, and must be for clients, valid now and of our issuers."""
    del config
    context = default_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def on_starting(server: Any) -> None:
    """Terminate when the process that started this one ends, even if it is killed."""
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    if supervisor is None:
        return
    _end_with_parent()
    if os.getppid() != int(supervisor):
        server.log.error("the process that started the web server has gone")
        raise SystemExit(1)


def when_ready(server: Any) -> None:
    """Keep loaded memory shared between the processes."""
    del server
    connections.close_all()
    process_memory.share()


def post_fork(server: Any, worker: Any) -> None:
    """End with gunicorn's own process, at once."""
    del server, worker
    _end_with_parent()


def _end_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def post_worker_init(worker: Any) -> None:
    """Log when a process is ready to answer requests."""
    worker.log.info("Answering requests in process %s", worker.pid)


def child_exit(server: Any, worker: Any) -> None:
    """Remove the gauges of an ended process; its counters stay."""
    del server
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if directory and Path(directory).is_dir():
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
