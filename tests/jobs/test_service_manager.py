"""Notifications of the supervisor to systemd, received on a real datagram socket."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.models import RestartReason
from jobs.worker import supervisor
from jobs.worker.sd_notify import ServiceManager
from tests.support.jobs_app.running import PATIENCE_S, eventually, start, types_known_here, workers_of

__all__ = ["start", "types_known_here"]


class Manager:
    """The service manager's end: keeps every message."""

    def __init__(self, address: str) -> None:
        self.variable = address.replace("\0", "@")
        self.received: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def lines(self) -> list[str]:
        """All lines so far."""
        try:
            while True:
                self.received += self._socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.received

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = str(tmp_path / "notify") if request.param == "path" else f"\0orchestrator-test-{secrets.token_hex(8)}"
    made = Manager(name)
    yield made
    made.close()


def test_a_message_arrives_in_the_format_of_sd_notify(systemd):
    manager = ServiceManager({"NOTIFY_SOCKET": systemd.variable, "WATCHDOG_USEC": "30000000"})
    manager.notify(READY="1", STATUS="2 of 2")
    assert systemd.lines() == ["READY=1", "STATUS=2 of 2"]
    assert manager.watchdog_s == 30


def test_without_a_service_manager_nothing_is_sent_and_there_is_no_watchdog():
    manager = ServiceManager({"WATCHDOG_USEC": "30000000"})
    manager.notify(READY="1")
    assert manager.watchdog_s is None


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_a_watchdog_meant_for_another_process_is_not_ours(variables, seconds):
    assert ServiceManager({"NOTIFY_SOCKET": "/nowhere", **variables}).watchdog_s == seconds


def test_a_manager_that_is_gone_or_does_not_read_raises_no_error(systemd, caplog):
    manager = ServiceManager({"NOTIFY_SOCKET": systemd.variable})
    while not caplog.records:  # until its queue is full
        manager.notify(STATUS="x" * 1000)
    caplog.clear()
    systemd.close()
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/at/all"}).notify(READY="1")
    assert "the service manager was not told" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_supervisor_notifies_ready_watchdog_and_stopping(start, systemd):
    worker = start("--concurrency", "2", NOTIFY_SOCKET=systemd.variable, WATCHDOG_USEC="300000")
    eventually(lambda: "READY=1" in systemd.lines())
    eventually(lambda: systemd.lines().count("WATCHDOG=1") >= 3)
    status = "STATUS=2 of 2 worker processes live; 0 crashed, 0 recycled"
    assert systemd.received.index("READY=1") < systemd.received.index(status)
    workers_of(worker)[0].kill()
    eventually(lambda: "STATUS=2 of 2 worker processes live; 1 crashed, 0 recycled" in systemd.lines())
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) == 0
    assert "STOPPING=1" in systemd.lines()
    assert systemd.received.count("READY=1") == 1


def test_a_worker_process_that_hangs_is_killed_and_the_watchdog_is_not_fed_until_then(systemd, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.variable)
    monkeypatch.setenv("WATCHDOG_USEC", "1")
    boss = supervisor.Supervisor(1)
    (slot,) = boss._slots
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    slot.start(lambda: process, time.monotonic())
    boss._liveness.give_sign(0)
    boss._report()
    assert systemd.lines().count("WATCHDOG=1") == 1
    monkeypatch.setattr("django.conf.settings.ORCH_LEASE_SECONDS", -10)
    boss._report()
    assert systemd.lines().count("WATCHDOG=1") == 1
    slot.kill()
    assert process.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    assert slot.check(time.monotonic()) == (RestartReason.SILENT, "signal SIGKILL")
    assert not slot.may_start(time.monotonic()), "a crash is followed by a pause"
    assert slot.crashed == 1
    boss._report()
    assert systemd.lines().count("WATCHDOG=1") == 2


def test_children_give_signs_of_life_to_their_parent_and_do_not_notify_the_service_manager(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    code = (
        "import os, sys; import django; django.setup()\n"
        "from jobs.worker import worker_process\n"
        "from jobs.worker.forked_process import Forked\n"
        "from jobs.worker.liveness import Liveness\n"
        "liveness, started = Liveness(2), os.eventfd(0)\n"
        "def live():\n"
        "    worker_process._after_fork(liveness, 1, started, [])\n"
        "    return 3 if 'NOTIFY_SOCKET' not in os.environ else 4\n"
        "assert Forked('child', live).wait(60) == 3\n"
        "assert os.eventfd_read(started) == 1\n"
        "assert liveness.last_sign(0) is None and liveness.last_sign(1) is not None\n"
        "liveness.reset(1)\n"
        "assert liveness.last_sign(1) is None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "DB_HOST": "unused"})
