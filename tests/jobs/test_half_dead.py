"""A half-dead database connection: a proxy accepts the bytes, and no answer comes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from django.db import connection

from foundation.principal import SYSTEM
from jobs import services, workers
from tests.support.jobs_app.running import ask, done, eventually, now, start, types_known_here
from tests.support.tcp_proxy import Proxy

__all__ = ["start", "types_known_here"]

pytestmark = pytest.mark.django_db(transaction=True)


def connect_to_postgres() -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(f"{connection.settings_dict['HOST']}/.s.PGSQL.5432")
    return connected


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy(connect_to_postgres)
    yield made
    made.close()


@pytest.fixture
def start_behind(start, proxy) -> Callable[..., object]:
    return partial(start, "--concurrency", "1", DB_HOST="127.0.0.1", DB_PORT=str(proxy.port))


def log_says(tmp_path: Path, words: str) -> bool:
    return words in (tmp_path / "worker.log").read_text()


def test_an_idle_worker_detects_it_and_works_again_over_a_new_connection(start_behind, proxy, tmp_path):
    worker = start_behind()
    eventually(lambda: workers.page(SYSTEM).items)
    proxy.swallow()
    job = ask("note", tmp_path)
    eventually(partial(log_says, tmp_path, "the database connection was lost; connecting anew"))
    eventually(partial(log_says, tmp_path, "listening is interrupted"))
    proxy.heal()
    eventually(partial(done, job))
    assert now(job).attempts <= 2  # the claim may have been made although its answer was lost
    assert worker.poll() is None


def test_a_handler_that_reports_is_stopped_when_its_lease_is_over(start_behind, proxy, tmp_path):
    job = ask("wait", tmp_path)
    start_behind()
    eventually((tmp_path / "started.1").exists)
    proxy.swallow()
    eventually(partial(log_says, tmp_path, "the lease was lost; this attempt changes nothing"))
    (tmp_path / "end").touch()
    proxy.heal()
    eventually(partial(done, job))
    assert [attempt.outcome for attempt in services.attempts_of(job)] == ["lost", "completed"]


def test_a_handler_waits_for_an_answer_no_longer_than_its_lease(start_behind, proxy, tmp_path):
    job = ask("query", tmp_path)
    start_behind()
    first = tmp_path / "started.1"
    pid = int(eventually(lambda: first.exists() and first.read_text()))
    proxy.swallow()
    eventually(partial(log_says, tmp_path, "the lease was over before the database answered"))
    (tmp_path / "end").touch()
    proxy.heal()
    eventually(partial(done, job))
    assert now(job).result == {"attempt": 2, "pid": pid}  # by the same process, which was not replaced
