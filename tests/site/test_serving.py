"""`manage.py serve`: real processes, real ports, real signals."""

from __future__ import annotations

import signal
import socket

import psutil
import pytest
import requests

from orchestrator_site.operations.health import REFUSED
from tests.support.site_deployment import Served, environment, free_ports, manage, sample

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_serves_each_thing_where_it_belongs_and_ends_on_sigterm_with_all_it_started(orch):
    with Served(orch) as served:
        alive = requests.get(served.url("/health"), timeout=240)
        assert (alive.status_code, alive.json()) == (200, {"alive": True})
        assert "gunicorn" not in alive.headers["Server"]
        assert requests.get(served.url("/metrics"), timeout=240).status_code == 404
        assert served.metrics("/health").status_code == 404

        before = sample(served.metrics().text, "django_http_requests_before_middlewares_total")
        for _ in range(8):  # over new connections, so that more than one process may answer
            requests.get(served.url("/health"), timeout=240)
        assert sample(served.metrics().text, "django_http_requests_before_middlewares_total") == before + 8

        children = psutil.Process(served.process.pid).children(recursive=True)
        assert len(children) >= 3  # gunicorn and its processes
        assert served.stop(signal.SIGTERM) == 0
        assert not psutil.wait_procs(children, timeout=240)[1]
        for port in (served.api_port, served.metrics_port):
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_bounds_request_heads_logs_no_secret_and_ends_on_ctrl_c(orch):
    with Served(orch) as served:
        secret = {"Authorization": "Token of-great-value", "Cookie": "sessionid=of-great-value"}
        requests.get(served.url("/health%0a%0dforged?token=of-great-value"), headers=secret, timeout=240)
        assert requests.get(served.url("/" + "x" * 5000), timeout=240).status_code == 414
        assert requests.get(served.url("/health"), headers={"X-Long": "x" * 9000}, timeout=240).status_code == 431
        many = {f"X-{number}": "1" for number in range(100)}
        assert requests.get(served.url("/health"), headers=many, timeout=240).status_code == 431
        assert served.stop(signal.SIGINT) == 0

        log = served.log.read_text()
        lines = [line for line in log.splitlines() if "forged" in line and " bytes " in line]
        assert len(lines) == 1
        assert "GET /health%0A%0Dforged 404" in lines[0]
        assert "of-great-value" not in log


def test_gunicorn_ends_when_the_command_is_killed(orch):
    with Served(orch) as served:
        children = psutil.Process(served.process.pid).children(recursive=True)
        served.stop(signal.SIGKILL)
        assert not psutil.wait_procs(children, timeout=240)[1]


def test_it_ends_with_an_error_when_gunicorn_ends_by_itself(orch):
    with Served(orch) as served:
        (gunicorn,) = psutil.Process(served.process.pid).children()
        gunicorn.terminate()
        assert served.process.wait(timeout=240) == 1
        assert "the web server ended by itself" in served.log.read_text()


def test_without_a_database_it_starts_stays_alive_and_says_so(orch):
    (nobody,) = free_ports(1)
    with Served(orch, {"DB_HOST": "127.0.0.1", "DB_PORT": str(nobody)}) as served:
        assert requests.get(served.url("/health"), timeout=240).status_code == 200
        answer = requests.get(served.url("/ready"), timeout=240)
        assert answer.status_code == 503
        assert answer.json()["parts"]["database"]["detail"].startswith(REFUSED)
        scrape = served.metrics().text
        assert sample(scrape, "orch_database_up") == 0
        assert "orch_jobs_queued" not in scrape
        assert sample(scrape, "django_http_requests_before_middlewares_total") == 2
        assert "orch.W013 DB_HOST" in served.log.read_text()


@pytest.mark.parametrize("variable", ["ORCH_API_PORT", "ORCH_METRICS_PORT"])
def test_a_port_in_use_is_named_in_one_line(orch, variable):
    (free,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"ORCH_API_PORT": str(free), "ORCH_METRICS_PORT": str(free), variable: str(port)}
        ended = manage("serve", env=environment(orch, **ports))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f"CommandError: port {port} is in use ({variable})"
    assert "Traceback" not in ended.stderr


def test_it_refuses_to_serve_without_usable_keys_and_names_each_reason(orch):
    orch.sign_key.chmod(0o644)
    (orch.trusted / "signer.pem").unlink()
    ended = manage("serve", env=environment(orch))
    assert ended.returncode == 2
    assert "orch.E002 ORCH_SIGN_KEY_PATH" in ended.stderr
    assert "orch.E004 ORCH_VERIFY_KEY_PATH" in ended.stderr
    assert "Traceback" not in ended.stderr
