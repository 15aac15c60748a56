"""`manage.py serve`: the web server (gunicorn) and the metrics server, started together and ended together."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from orchestrator_site.configuration import checks
from orchestrator_site.operations import metrics
from orchestrator_site.operations.gunicorn_config import SUPERVISOR_VARIABLE

NOT_READY = 2


class Command(BaseCommand):
    """Serves until SIGTERM or SIGINT; a second signal does not wait for running requests."""

    help = "Serve the console and the API on ORCH_API_PORT, and the metrics on ORCH_METRICS_PORT."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until a stop signal.

        Raises:
            CommandError: the settings are not fit for serving, a port is in use, or gunicorn ended by itself.
        """
        try:
            for warning in checks.require_ready():
                self.stderr.write(f"check: {checks.line_of(warning)}")
        except checks.NotReadyError as error:
            raise CommandError("\n".join(f"check: {line}" for line in error.lines), returncode=NOT_READY) from None
        env = settings.ENV
        _require_free(env.bind, env.api_port, "ORCH_API_PORT")
        _require_free(env.bind, env.metrics_port, "ORCH_METRICS_PORT")
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)  # whitenoise warns where it is missing
        directory = metrics.fresh_directory(settings.VAR_DIR, env.api_port)
        try:
            metrics_server = metrics.MetricsServer((env.bind, env.metrics_port), directory)
        except OSError as error:
            raise CommandError(_cannot_bind(error, env.metrics_port, "ORCH_METRICS_PORT")) from error
        stopping = _Stopping()
        web = _start_gunicorn(str(directory))
        stopping.watch(web)
        Thread(target=metrics_server.serve_for_ever, name="metrics", daemon=True).start()
        scheme = "https" if env.mtls_enabled else "http"
        self.stdout.write(f"serving {scheme}://{env.bind}:{env.api_port} (metrics on port {env.metrics_port})")
        code = web.wait()
        metrics_server.server_close()  # its thread ends with this process
        if not stopping.asked:
            raise CommandError(f"the web server ended by itself (exit code {code}); its log says why")


class _Stopping:
    """Passes SIGTERM and SIGINT on to gunicorn: the first lets running requests finish, a second does not."""

    def __init__(self) -> None:
        self.asked = False
        self._web: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def watch(self, web: subprocess.Popen[bytes]) -> None:
        """From now on, signals go to `web`; one that came before is passed on now."""
        self._web = web
        if self.asked:
            web.send_signal(signal.SIGTERM)

    def _on_signal(self, number: int, frame: object) -> None:
        del number, frame
        if self._web is not None:
            self._web.send_signal(signal.SIGINT if self.asked else signal.SIGTERM)
        self.asked = True


def _start_gunicorn(metrics_directory: str) -> subprocess.Popen[bytes]:
    """A gunicorn child in a session of its own, so that Ctrl-C reaches it once, through us."""
    # A key that was made up at start must be the same in all its processes, or sessions would hold in one of them only.
    one_secret_key = {"ORCH_SECRET_KEY": settings.SECRET_KEY} if settings.ENV.secret_key_is_generated else {}
    return subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", "python:orchestrator_site.operations.gunicorn_config"],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            metrics.MULTIPROCESS_VARIABLE: metrics_directory,
            SUPERVISOR_VARIABLE: str(os.getpid()),
            **one_secret_key,
        },
        start_new_session=True,
    )


def _require_free(host: str, port: int, variable: str) -> None:
    """Pass when the port can be bound.

    Raises:
        CommandError: it cannot; names the variable that changes it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(_cannot_bind(error, port, variable)) from error


def _cannot_bind(error: OSError, port: int, variable: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use ({variable})"
    return f"port {port} cannot be used: {error.strerror} ({variable}, ORCH_BIND)"
