"""What the supervisor tells systemd, heard on a real datagram socket."""

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


class Ear:
    """The service manager's end: remembers every message."""

    def __init__(self, address: str) -> None:
        self.variable = address.replace("\0", "@")
        self.heard: list[str] = []
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(address)
        self._line.setblocking(False)

    def listen(self) -> list[str]:
        """All lines so far."""
        try:
            while True:
                self.heard += self._line.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.heard

    def close(self) -> None:
        self._line.close()


@pytest.fixture(params=["path", "abstract"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ear]:
    name = str(tmp_path / "notify") if request.param == "path" else f"\0orchestrator-test-{secrets.token_hex(8)}"
    made = Ear(name)
    yield made
    made.close()


def test_a_message_arrives_in_sd_notifys_own_words(ear):
    manager = ServiceManager({"NOTIFY_SOCKET": ear.variable, "WATCHDOG_USEC": "30000000"})
    manager.tell(READY="1", STATUS="2 of 2")
    assert ear.listen() == ["READY=1", "STATUS=2 of 2"]
    assert manager.watchdog_s == 30


def test_nothing_is_told_and_no_watchdog_wanted_where_nobody_asks():
    manager = ServiceManager({"WATCHDOG_USEC": "30000000"})
    manager.tell(READY="1")
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


def test_a_manager_that_is_gone_or_does_not_read_is_no_reason_to_fail(ear, caplog):
    manager = ServiceManager({"NOTIFY_SOCKET": ear.variable})
    while not caplog.records:  # until its queue is full
        manager.tell(STATUS="x" * 1000)
    caplog.clear()
    ear.close()
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/at/all"}).tell(READY="1")
    assert "the service manager was not told" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_supervisor_is_ready_when_its_workers_live_feeds_the_watchdog_and_says_that_it_stops(start, ear):
    worker = start("--concurrency", "2", NOTIFY_SOCKET=ear.variable, WATCHDOG_USEC="300000")
    eventually(lambda: "READY=1" in ear.listen())
    eventually(lambda: ear.listen().count("WATCHDOG=1") >= 3)
    assert ear.heard.index("READY=1") < ear.heard.index("STATUS=2 of 2 worker processes live; 0 crashed, 0 recycled")
    workers_of(worker)[0].kill()
    eventually(lambda: "STATUS=2 of 2 worker processes live; 1 crashed, 0 recycled" in ear.listen())
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) == 0
    assert "STOPPING=1" in ear.listen()
    assert ear.heard.count("READY=1") == 1


def test_a_worker_process_that_hangs_is_killed_and_keeps_the_watchdog_hungry_until_it_is_gone(ear, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", ear.variable)
    monkeypatch.setenv("WATCHDOG_USEC", "1")
    boss = supervisor.Supervisor(1)
    (place,) = boss._slots
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    place.start(lambda: process, time.monotonic())
    boss._liveness.give(0)
    boss._report()
    assert ear.listen().count("WATCHDOG=1") == 1
    monkeypatch.setattr("django.conf.settings.ORCH_LEASE_SECONDS", -10)
    boss._report()
    assert ear.listen().count("WATCHDOG=1") == 1
    place.kill()
    assert process.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    assert place.look(time.monotonic()) == (RestartReason.SILENT, "signal SIGKILL")
    assert not place.may_start(time.monotonic()), "a crash is followed by a pause"
    assert place.crashed == 1
    boss._report()
    assert ear.listen().count("WATCHDOG=1") == 2


def test_children_give_signs_of_life_that_their_parent_sees_and_do_not_speak_to_the_service_manager(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    code = (
        "import os, sys; import django; django.setup()\n"
        "from jobs.worker import worker_process\n"
        "from jobs.worker.forked_process import Forked\n"
        "from jobs.worker.liveness import Liveness\n"
        "signs, up = Liveness(2), os.eventfd(0)\n"
        "def live():\n"
        "    worker_process._after_fork(liveness, 1, up, [])\n"
        "    return 3 if 'NOTIFY_SOCKET' not in os.environ else 4\n"
        "assert Forked('child', live).wait(60) == 3\n"
        "assert os.eventfd_read(up) == 1 and liveness.last(0) is None and liveness.last(1) is not None\n"
        "signs.forget(1)\n"
        "assert liveness.last(1) is None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "DB_HOST": "unused"})
