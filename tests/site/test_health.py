"""/health and /ready over HTTP: every part that can be unwell is made so."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from django.db import connection

from orchestrator_site.configuration.env import BASE_DIR
from orchestrator_site.operations import health, probes
from orchestrator_site.operations.probe_connection import NoAnswerError, quick_cursor
from orchestrator_site.operations.probes import Probes
from tests.support.site_deployment import free_ports
from tests.support.tcp_proxy import Proxy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("orch")]


def ready(live_server) -> requests.Response:
    return requests.get(f"{live_server.url}/ready", timeout=240)


def a_worker_lives(state: str = "idle") -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrator_workers"
            " (worker_id, host, pid, started_at, version, heartbeat_at, state, jobs_done, rss_bytes)"
            " VALUES ('w', 'h', 1, now(), '1', now(), %s, 0, 0)",
            [state],
        )


def test_health_answers_without_a_database_and_is_not_cached(live_server, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", str(free_ports(1)[0]))
    answer = requests.get(f"{live_server.url}/health", timeout=240)
    assert (answer.status_code, answer.json()) == (200, {"alive": True})
    assert answer.headers["Cache-Control"] == "no-store"
    assert requests.post(f"{live_server.url}/health", timeout=240).status_code in {403, 405}


def test_it_is_ready_once_a_worker_lives_and_tells_the_free_bytes_but_no_path(live_server, orch):
    answer = ready(live_server)
    assert answer.status_code == 503
    assert {name for name, part in answer.json()["parts"].items() if not part["ok"]} == {"workers", "core"}
    a_worker_lives()
    answer = ready(live_server)
    body = answer.json()
    assert (answer.status_code, body["ready"], body["parts"]["workers"]["live"]) == (200, True, 1)
    assert set(body["parts"]) == {"database", "storage", "stores", "keys", "workers", "core"}
    assert body["parts"]["storage"]["free_bytes"].keys() == {"bundles", "artifacts"}
    assert body["parts"]["core"]["informational"] is True
    assert str(orch.root) not in answer.text


@pytest.mark.parametrize("state", ["stopping", "stopped"])
def test_a_worker_that_leaves_does_not_count(live_server, state):
    a_worker_lives(state)
    assert ready(live_server).json()["parts"]["workers"] == {"ok": False, "detail": "0 live", "live": 0}


def test_it_tells_a_heartbeat_that_is_too_old_and_keys_and_stores_that_are_gone(live_server, orch):
    a_worker_lives()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orchestrator_workers SET heartbeat_at = now() - interval '1 hour'")
    orch.sign_key.rename(orch.root / "elsewhere.pem")
    orch.output_dir.rmdir()
    answer = ready(live_server)
    parts = answer.json()["parts"]
    assert answer.status_code == 503
    assert (parts["workers"]["ok"], parts["workers"]["live"]) == (False, 0)
    assert parts["keys"]["detail"].startswith("orch.E001 ORCH_SIGN_KEY_PATH")
    assert parts["storage"]["detail"] == "not writable: bundles"
    assert parts["storage"]["free_bytes"]["bundles"] is None
    assert parts["storage"]["free_bytes"]["artifacts"] > 0
    assert parts["database"]["ok"] is True


def test_it_tells_migrations_that_are_not_applied(live_server):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'jobs' AND name = '0003_transitions'")
    try:
        database = ready(live_server).json()["parts"]["database"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('jobs', '0003_transitions', now())"
            )
    assert database["ok"] is False
    assert database["detail"].startswith("1 migrations are not applied")


@pytest.fixture
def asked_anew(monkeypatch) -> Probes:
    """Probes that nobody has asked yet, whose caller is not kept waiting."""
    fresh = Probes(health.PROBES.parts, health.PROBES.informational)
    monkeypatch.setattr(health, "PROBES", fresh)
    monkeypatch.setattr(probes, "DEADLINE_S", 0.2)
    return fresh


@pytest.fixture
def held_up(monkeypatch) -> Iterator[threading.Event]:
    """A database whose connections lead nowhere until the event is set; then they are as ever."""
    go_on, at = threading.Event(), connection.get_connection_params()

    def connect() -> socket.socket:
        go_on.wait()
        to = socket.socket(socket.AF_UNIX)
        to.connect(f"{at['host']}/.s.PGSQL.{at['port']}")
        return to

    proxy = Proxy(connect)
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", str(proxy.port))
    yield go_on
    go_on.set()
    proxy.close()


def until(met: Callable[[dict[str, Any]], bool], ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    give_up_at = time.monotonic() + 120
    while not met(parts := ask()):
        assert time.monotonic() < give_up_at, parts
    return parts


def test_a_database_that_is_slow_is_called_slow_and_never_down(held_up, asked_anew, monkeypatch):
    monkeypatch.setattr(probes, "SLOW_FROM_S", 0)
    for _ in range(3):
        first = asked_anew.ask()
        for name in ("database", "workers"):
            assert first[name]["ok"] is False  # nothing is known of it so far
            assert first[name]["detail"].startswith("slow: no answer in ")
        assert first["storage"]["ok"] is True
    held_up.set()
    answered = until(lambda parts: parts["database"]["ok"], asked_anew.ask)
    assert answered["database"]["detail"].startswith("slow: answered after ")
    held_up.clear()
    waiting = until(lambda parts: "so far" in parts["database"]["detail"], asked_anew.ask)
    assert waiting["database"]["ok"] is True  # as it was last


def test_a_database_is_down_when_it_is_silent_beyond_the_limit_or_refuses(held_up, asked_anew, monkeypatch):
    monkeypatch.setattr(probes, "DOWN_AFTER_S", 0)
    assert asked_anew.ask()["database"]["detail"].startswith("down: no answer in ")
    assert asked_anew.ask()["database"]["ok"] is False
    held_up.set()
    until(lambda parts: parts["database"]["ok"], asked_anew.ask)
    monkeypatch.setitem(connection.settings_dict, "PORT", str(free_ports(1)[0]))
    parts = until(lambda parts: not parts["database"]["ok"] and not parts["workers"]["ok"], asked_anew.ask)
    assert parts["database"] == {"ok": False, "detail": "down: the connection was refused or failed"}
    assert parts["workers"] == {"ok": False, "detail": "not known: the database is down", "live": None}


def test_a_part_that_hangs_does_not_hold_up_the_end_of_the_process():
    code = "import threading; from foundation import in_background; in_background.ask(threading.Event().wait)"
    assert subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, check=False, timeout=120).returncode == 0


def test_a_probe_of_the_database_ends_at_its_limit_connecting_or_asking(held_up):
    with pytest.raises(NoAnswerError), quick_cursor(2):
        pass
    held_up.set()
    with pytest.raises(NoAnswerError), quick_cursor(2) as cursor:
        cursor.execute("SELECT pg_sleep(600)")


def test_a_core_service_that_is_down_changes_nothing_else(live_server, settings):
    a_worker_lives()
    settings.CORE_API_URL = f"http://127.0.0.1:{free_ports(1)[0]}"
    answer = ready(live_server)
    assert answer.status_code == 200
    assert answer.json()["parts"]["core"] == {
        "ok": False, "detail": "down: the connection was refused or failed", "informational": True
    }  # fmt: skip
    settings.CORE_API_URL = live_server.url  # whose /health answers like a core service's
    assert ready(live_server).json()["parts"]["core"]["ok"] is True
