"""A deployment for tests of the running service: `manage.py serve` as a process, on the test database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import requests
from django.db import connection

from tests.conftest import Orchestrator

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 240
FEWEST_PROCESSES = 2  # gunicorn_config.py starts at least as many


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def environment(orch: Orchestrator, **more: str) -> dict[str, str]:
    """The environment of a process that uses `orch` and the test's database."""
    database = connection.settings_dict
    return {
        "PATH": os.environ["PATH"],
        "ORCH_PROFILE": "development",
        "ORCH_VAR_DIR": str(orch.root),
        "ORCH_WEB_THREADS": "4",
        "ORCH_SIGN_KEY_PATH": str(orch.sign_key),
        "ORCH_VERIFY_KEY_PATH": str(orch.trusted),
        "OUTPUT_DIR": str(orch.output_dir),
        "FORENSIC_STORAGE_PATH": str(orch.forensic),
        "DB_HOST": str(database["HOST"]),
        "DB_PORT": str(database["PORT"]),
        "DB_NAME": str(database["NAME"]),
        "DB_USER": str(database["USER"]),
        **more,
    }


def manage(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a management command and wait for its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@dataclass
class Served:
    """`manage.py serve` as a child process; a context manager that ends it."""

    orch: Orchestrator
    more: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.api_port, self.metrics_port = free_ports(2)
        ports = {"ORCH_API_PORT": str(self.api_port), "ORCH_METRICS_PORT": str(self.metrics_port)}
        self.env = environment(self.orch, **{**ports, **self.more})
        self.log = self.orch.root / f"serve-{self.api_port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"], cwd=ROOT, env=self.env, stdout=log, stderr=log
            )
        self._wait_until_it_answers()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def url(self, path: str, *, scheme: str = "http") -> str:
        """An address of the web server."""
        return f"{scheme}://127.0.0.1:{self.api_port}{path}"

    def metrics(self, path: str = "/metrics") -> requests.Response:
        """The answer of the metrics port."""
        return requests.get(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=240)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send one signal and wait for the end; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=240)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.log.read_text().count("Answering requests in process") >= FEWEST_PROCESSES:
                return
            time.sleep(0.1)
        self.stop()
        raise AssertionError(f"serve did not start:\n{self.log.read_text()}")


def sample(text: str, name: str) -> float:
    """The value of one line of a scrape, by its name and labels as they are printed."""
    for line in text.splitlines():
        if line.rpartition(" ")[0] == name:
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"no {name} in the scrape")
