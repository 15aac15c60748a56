"""Incidents bundled a minute, end to end: API call, source reads over HTTP, bundle, verification by a job of its own.

Ours is `manage.py serve` and `run_orch_worker` with two workers on a fresh PostgreSQL; every incident is asked for over
the API, and every bundle is verified by a second request. The shell script does the same two at a time with curl, jq,
sha256sum, tar, zstd and openssl. Both read from the same services.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import incident_sources
from benchmarks.queue_sides.known import ROOT
from benchmarks.surroundings import clean_environment, free_ports
from orchestrator_site.operations import embedded_postgres
from soak.deployment import addresses

INCIDENTS, FIRST, WORKERS, AT_ONCE = 500, 40, 2, 2
PATIENCE_S = 3600.0
SCRIPT = Path(__file__).with_name("by_shell.sh")
DATABASE = "incidents"


def run(work: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Measure.

    Args:
        work: where data, database and bundles live.
        scale: share of the incidents.
        rounds: not used: five hundred incidents say more than rounds.

    Returns:
        Seconds and incidents a minute of each side, for the first incidents after a start and for all.
    """
    del rounds
    number, first = max(FIRST, round(INCIDENTS * scale)), FIRST
    root = Path(tempfile.mkdtemp(prefix="orchestrator-incidents-", dir=work))
    root.chmod(0o755)  # under root, PostgreSQL runs as a user of its own
    load = os.getloadavg()[0]
    try:
        ids = [incident_sources.make(root / "data", at) for at in range(number)]
        with _sources(root / "data") as ports, _deployment(root, ports) as site:
            first_s = site.bundle_and_verify(ids[:first])
            all_s = first_s + site.bundle_and_verify(ids[first:]) if ids[first:] else first_s
            shell_first_s = _shell(root, ids[:first], ports)
            shell_s = shell_first_s + (_shell(root, ids[first:], ports) if ids[first:] else 0.0)
    finally:
        embedded_postgres.stop(root / "postgres")
        shutil.rmtree(root, ignore_errors=True)
    report = {
        "incidents": number,
        "first": first,
        "ours_first_s": first_s,
        "ours_s": all_s,
        "shell_first_s": shell_first_s,
        "shell_s": shell_s,
        "load": load,
    }
    for line in lines(report):
        print(line)
    return report


def lines(report: dict[str, Any]) -> list[str]:
    """The report as Markdown."""

    def row(name: str, number: int, ours: float, shell: float) -> str:
        rates = f"{number / ours * 60:.0f} | {number / shell * 60:.0f} | {shell / ours:.2f}x"
        return f"| {name} | {rates} |"

    return [
        (
            f"{report['incidents']} incidents of {incident_sources.ALERTS} alerts, {incident_sources.EVENTS} events "
            f"and {incident_sources.FILES} files of {incident_sources.FILE_BYTES // 1000} KB; {WORKERS} workers, the "
            f"shell {AT_ONCE} at a time. Load average {report['load']:.1f} before."
        ),
        "",
        "| incidents bundled and verified a minute | ours | shell script | ours is faster by |",
        "|---|---|---|---|",
        row(
            f"the first {report['first']} after the start", report["first"], report["ours_first_s"],
            report["shell_first_s"],
        ),
        row(f"all {report['incidents']}", report["incidents"], report["ours_s"], report["shell_s"]),
    ]  # fmt: skip


@contextlib.contextmanager
def _sources(data: Path) -> Iterator[dict[str, int]]:
    """The services in a process of their own; service → port."""
    command = [sys.executable, "-m", "benchmarks.incident_sources", str(data)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 # both are pipes
        yield json.loads(process.stdout.readline())
        process.stdin.close()


class _Site:
    """The API of the deployment, over one kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=240)

    def close(self) -> None:
        """Begin with a new connection."""
        self._connection.close()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON answer.

        Raises:
            RuntimeError: the answer is no success.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        found: dict[str, Any] = json.loads(text)
        return found

    def bundle_and_verify(self, ids: list[str]) -> float:
        """Seconds from the first request to the last verdict.

        Raises:
            RuntimeError: a job failed, or a bundle is not verified.
        """
        begun = time.perf_counter()
        made = [self.call("POST", "/bundle/create", {"incident_id": one})["job_id"] for one in ids]
        checks = [self._when_done(job)["bundle_id"] for job in made]
        jobs = [self.call("POST", f"/bundles/{bundle}/verify", {})["job_id"] for bundle in checks]
        if not all(self._when_done(job)["report"]["verified"] for job in jobs):
            raise RuntimeError("a bundle is not verified")
        return time.perf_counter() - begun

    def _when_done(self, job: str) -> dict[str, Any]:
        give_up_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_at:
            found = self.call("GET", f"/jobs/{job}")
            if found["status"] == "completed":
                result: dict[str, Any] = found["result"]
                return result
            if found["status"] in {"failed", "cancelled"}:
                raise RuntimeError(f"{found['error_code']}: {found['error_message']}")
            time.sleep(0.1)
        raise RuntimeError(f"{job} did not end")


@contextlib.contextmanager
def _deployment(root: Path, ports: dict[str, int]) -> Iterator[_Site]:
    """Web server and workers on a fresh database, ready."""
    api, metrics = free_ports(2)
    environment = clean_environment() | {
        "ORCH_PROFILE": "development",
        "ORCH_ANONYMOUS_API_ROLE": "operator",
        "ORCH_VAR_DIR": str(root),
        "DB_HOST": embedded_postgres.ensure_running(root / "postgres", DATABASE),
        "DB_NAME": DATABASE,
        "DB_USER": embedded_postgres.USER,
        "ORCH_API_PORT": str(api),
        "ORCH_METRICS_PORT": str(metrics),
        **addresses(ports),
    }
    manage = [sys.executable, "manage.py"]
    prepare = (
        "import django; django.setup(); from orchestrator_site.launch import preparation as g;"
        "g.directories(); g.tables(); g.signing_key()"
    )
    settings = {"DJANGO_SETTINGS_MODULE": "orchestrator_site.settings"}
    subprocess.run([sys.executable, "-c", prepare], cwd=ROOT, env={**environment, **settings}, check=True)
    with (root / "said.log").open("wb") as log:
        children = [
            subprocess.Popen([*manage, *command], cwd=ROOT, env=environment, stdout=log, stderr=log)
            for command in (["serve"], ["run_orch_worker", "--concurrency", str(WORKERS)])
        ]
        try:
            site = _Site(api)
            give_up_at = time.monotonic() + PATIENCE_S
            while not _is_ready(site):
                if time.monotonic() > give_up_at or any(child.poll() is not None for child in children):
                    raise RuntimeError(f"not ready:\n{(root / 'said.log').read_text(errors='replace')[-2000:]}")
                time.sleep(0.1)
            yield site
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(timeout=60)


def _is_ready(site: _Site) -> bool:
    try:
        site.call("GET", "/ready")
    except (OSError, RuntimeError, http.client.HTTPException):
        site.close()  # a connection that failed half-way takes no other request
        return False
    return True


def _shell(root: Path, ids: list[str], ports: dict[str, int]) -> float:
    """Seconds that the script takes for all of them, `AT_ONCE` at a time."""
    out = Path(tempfile.mkdtemp(dir=root))
    key, public = root / "shell.pem", root / "shell.pub"
    if not key.exists():
        subprocess.run(["openssl", "genrsa", "-out", str(key), "3072"], check=True, capture_output=True)
        derive = ["openssl", "rsa", "-in", str(key), "-pubout", "-out", str(public)]
        subprocess.run(derive, check=True, capture_output=True)
    environment = {
        "PATH": os.environ["PATH"],
        "OUT": str(out),
        "KEY": str(key),
        "PUB": str(public),
        **{name.upper(): f"http://127.0.0.1:{port}" for name, port in ports.items()},
    }
    begun = time.perf_counter()
    command = ["xargs", "-P", str(AT_ONCE), "-n", "1", "bash", str(SCRIPT)]
    subprocess.run(command, input="\n".join(ids), text=True, env=environment, check=True)
    took_s = time.perf_counter() - begun
    if len(list(out.glob("*.tar.zst"))) != len(ids):
        raise RuntimeError("the script did not make every bundle")
    return took_s
