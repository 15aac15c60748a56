"""`make demo` and `make run` as processes: what they print and do, and that no process is left when they end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bundles.samples.services import DB, KILLCHAIN, SampleServices
from orchestrator_site.configuration.env import BASE_DIR
from tests.support.busy import busy_cores
from tests.support.scratch import SCRATCH
from tests.support.site_deployment import free_ports

PATIENCE_S = 600
READY = "Ctrl-C stops everything."
PORTS = ("ORCH_API_PORT", "ORCH_METRICS_PORT", "KILLCHAIN_API_PORT", "FORENSIC_API_PORT", "DB_API_PORT")


def processes_on(var: Path) -> list[psutil.Process]:
    """Every process that uses the directory `var`."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("ORCH_VAR_DIR") == str(var) or str(var) in " ".join(process.cmdline())
            if ours and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def var() -> Iterator[Path]:
    """A directory that the embedded server's user can read; processes that still use it at the end are killed."""
    directory = SCRATCH / f"launch-{uuid4().hex}"
    directory.mkdir()
    directory.chmod(0o755)
    yield directory
    left = processes_on(directory)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=240)
    shutil.rmtree(directory)


@pytest.fixture
def variables(var) -> dict[str, str]:
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    return {
        "PATH": os.environ["PATH"],
        "ORCH_PROFILE": "development",
        "ORCH_VAR_DIR": str(var),
        "ORCH_WORKER_COUNT": "1",
        **ports,
    }


def start(command: str, variables: dict[str, str], output: Path, *arguments: str, nice: int = 0) -> psutil.Popen:
    with output.open("wb") as out:
        return psutil.Popen(
            ["nice", "-n", str(nice), sys.executable, "manage.py", command, *arguments],
            cwd=BASE_DIR, env=variables, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def wait_for_line(line: str, process: psutil.Popen, output: Path) -> str:
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        ended = process.poll() is not None
        text = output.read_text()
        if line in text:
            return text
        assert not ended, text
        time.sleep(0.05)
    raise AssertionError(output.read_text())


def demo(variables: dict[str, str], tmp_path: Path, *arguments: str) -> tuple[int, str]:
    output = tmp_path / "demo.txt"
    code = start("demo", variables, output, *arguments).wait(PATIENCE_S)
    return code, output.read_text()


def test_the_demo_prints_its_table_exits_0_and_leaves_no_process(var, variables, tmp_path):
    code, said = demo(variables, tmp_path, "incident-123")
    assert code == 0, said
    head, row = said.splitlines()[-3:-1]
    steps = ("bundle", "verify", "tamper", "restore", "again", "rebundle")
    assert head.split()[-6:] == list(steps)
    assert row.split()[0] == "incident-123"
    assert row.split()[-6:] == ["held"] * 6
    assert said.splitlines()[-1] == "every step held"
    assert processes_on(var) == []
    # The signing key is no longer trusted: bundling must fail, and the exit code says so.
    other = rsa.generate_private_key(public_exponent=65537, key_size=3072).public_key()
    pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "other.pem").write_bytes(pem)
    code, said = demo({**variables, "ORCH_VERIFY_KEY_PATH": str(tmp_path / "trusted")}, tmp_path, "incident-123")
    assert code == 1
    assert "key_untrusted" in said
    assert "NOT HELD" in said
    assert "every step held" not in said
    assert processes_on(var) == []


def test_a_demo_that_cannot_begin_says_so_and_leaves_no_process(var, variables, tmp_path):
    (var / "keys").write_text("a file where the keys' directory should be")
    code, said = demo(variables, tmp_path, "incident-123")
    assert code == 1
    assert "the key could not be written" in said or "exists already" in said
    assert "Traceback" not in said
    assert processes_on(var) == []


def test_run_starts_everything_reuses_it_and_leaves_nothing_behind(var, variables, tmp_path):
    first = start("run_everything", variables, tmp_path / "first.txt")
    said = wait_for_line(READY, first, tmp_path / "first.txt")
    in_order = ("operator  ", "(new)", "ready:", "restored again: nothing changed", "same content digest", "console  ")
    assert sorted(in_order, key=said.index) == list(in_order)
    address = f"http://127.0.0.1:{variables['ORCH_API_PORT']}"
    assert requests.get(f"{address}/ready", timeout=240).status_code == 200
    metrics = requests.get(f"http://127.0.0.1:{variables['ORCH_METRICS_PORT']}/metrics", timeout=240).text
    assert "orch_jobs_total" in metrics

    clash = start("run_everything", variables, tmp_path / "clash.txt")
    assert clash.wait(PATIENCE_S) == 1
    lines = (tmp_path / "clash.txt").read_text().splitlines()
    # Only two lines: the second run would use the sources of the first.
    assert [line.split("; set ")[1] for line in lines] == ["ORCH_API_PORT", "ORCH_METRICS_PORT"]
    assert requests.get(f"{address}/ready", timeout=240).status_code == 200

    again = start("walk_main_job", variables, tmp_path / "again.txt", "incident-123")
    assert again.wait(PATIENCE_S) == 0
    assert (tmp_path / "again.txt").read_text().startswith("the main job ran before; its last bundle: ")
    first.send_signal(signal.SIGINT)
    assert first.wait(PATIENCE_S) == 0
    assert (tmp_path / "first.txt").read_text().splitlines()[-1] == "stopped"
    assert processes_on(var) == []

    # Again on a busy machine, with two of the sources running already and the optional core service down.
    ports = {KILLCHAIN: int(variables["KILLCHAIN_API_PORT"]), DB: int(variables["DB_API_PORT"])}
    variables["CORE_API_URL"] = f"http://127.0.0.1:{free_ports(1)[0]}"
    with busy_cores(), SampleServices([tmp_path], ports, only=ports):
        second = start("run_everything", variables, tmp_path / "second.txt", nice=2)
        said = wait_for_line(READY, second, tmp_path / "second.txt")
        forensic = requests.get(f"http://127.0.0.1:{variables['FORENSIC_API_PORT']}/health", timeout=PATIENCE_S)
        assert forensic.json()["service"] == "forensic"
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE_S) == 0
    assert f"the killchain source is used where it is, http://localhost:{ports[KILLCHAIN]}" in said
    assert f"the db source is used where it is, http://localhost:{ports[DB]}" in said
    for absent in ("the forensic source", "the main job", "core", "(new)", "passwords are shown only now"):
        assert absent not in said  # without all three sample sources the main job is not run
    assert processes_on(var) == []

    (tmp_path / "sign.pem").write_text("no key")
    third = start("run_everything", {**variables, "ORCH_SIGN_KEY_PATH": str(tmp_path / "sign.pem")}, tmp_path / "third")
    assert third.wait(PATIENCE_S) == 1
    said = (tmp_path / "third").read_text()
    end = said.split("CommandError: web ended by itself (exit code 2); the end of ")[1]
    assert "ORCH_SIGN_KEY_PATH" in end
    assert processes_on(var) == []


@contextmanager
def no_source(port: int) -> Iterator[None]:
    """A server that closes every connection at once."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        threading.Thread(target=hang_up, args=(listener,), daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def hang_up(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            listener.accept()[0].close()


def test_a_port_in_use_is_named_in_one_line_and_nothing_stays(var, variables, tmp_path):
    with no_source(int(variables["DB_API_PORT"])):
        run = start("run_everything", variables, tmp_path / "said.txt")
        assert run.wait(PATIENCE_S) == 1
    (line,) = (tmp_path / "said.txt").read_text().splitlines()
    assert variables["DB_API_PORT"] in line
    assert "DB_API_PORT" in line
    assert processes_on(var) == []
