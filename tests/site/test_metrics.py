"""The metrics port over HTTP, and the histograms behind it."""

from __future__ import annotations

import math
import socket
from threading import Thread

import pytest
import requests
from django.db import connection, connections, transaction

from bundles import measures as bundle_measures
from foundation.principal import SYSTEM
from jobs import measures
from jobs.queue import queue
from orchestrator_site.operations.metrics import MetricsServer, fresh_directory
from tests.support.site_deployment import sample

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def metrics(tmp_path):
    server = MetricsServer(("127.0.0.1", 0), fresh_directory(tmp_path, 1))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def scrape(metrics: str) -> str:
    answer = requests.get(f"{metrics}/metrics", timeout=240)
    assert answer.status_code == 200
    return answer.text


def test_only_metrics_answers_there(metrics):
    for path in ("/", "/metrics/", "/metrics/x", "/health"):
        assert requests.get(metrics + path, timeout=240).status_code == 404
    assert requests.post(f"{metrics}/metrics", timeout=240).status_code == 501
    answer = requests.get(f"{metrics}/metrics?name=x", timeout=240)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert requests.head(f"{metrics}/metrics", timeout=240).content == b""


def test_openmetrics_is_given_to_whom_asks_for_it(metrics):
    accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
    answer = requests.get(f"{metrics}/metrics", headers=accept, timeout=240)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_before_the_first_bundle_every_bucket_is_there_and_zero(metrics):
    text = scrape(metrics)
    assert sample(text, "orch_database_up") == 1
    assert sample(text, "orch_jobs_queued") == 0
    for name, bounds in (
        ("orch_bundle_size_bytes", bundle_measures.SIZE_BUCKETS_BYTES),
        ("orch_bundle_duration_seconds", bundle_measures.DURATION_BUCKETS_S),
    ):
        lines = [line for line in text.splitlines() if line.startswith(f"{name}_bucket")]
        assert len(lines) == len(bounds) + 1
        assert all(line.endswith(" 0.0") for line in lines)


def test_queued_jobs_and_totals_follow_the_queue(metrics):
    for number in range(3):
        queue.enqueue("bundle_create", {"number": number}, principal=SYSTEM, operation="test")
    text = scrape(metrics)
    assert sample(text, "orch_jobs_queued") == 3
    assert sample(text, 'orch_jobs_total{job_type="bundle_create",status="queued"}') == 3


def test_totals_of_all_shards_are_one_number_and_survive_a_purge_of_jobs(metrics):
    queue.enqueue("rehydrate", {}, principal=SYSTEM, operation="test")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrator_job_totals (job_type, status, shard, count)"
            " VALUES ('bundle_create', 'completed', 0, 2), ('bundle_create', 'completed', 1, 3)"
        )
        cursor.execute("TRUNCATE orchestrator_jobs CASCADE")
    text = scrape(metrics)
    assert sample(text, 'orch_jobs_total{job_type="bundle_create",status="completed"}') == 5
    assert sample(text, 'orch_jobs_total{job_type="rehydrate",status="queued"}') == 1
    assert sample(text, "orch_jobs_queued") == 0


def test_a_bundle_is_counted_in_its_buckets_and_all_above(metrics):
    bundle_measures.bundle_made(size_bytes=16384, duration_s=0.1)
    bundle_measures.bundle_made(size_bytes=16385, duration_s=99_999)
    text = scrape(metrics)
    assert sample(text, 'orch_bundle_size_bytes_bucket{le="16384.0"}') == 1
    assert sample(text, 'orch_bundle_size_bytes_bucket{le="65536.0"}') == 2
    assert sample(text, "orch_bundle_size_bytes_sum") == 32769
    assert sample(text, "orch_bundle_size_bytes_count") == 2
    assert sample(text, 'orch_bundle_duration_seconds_bucket{le="0.5"}') == 1
    assert sample(text, 'orch_bundle_duration_seconds_bucket{le="14400.0"}') == 1
    assert sample(text, 'orch_bundle_duration_seconds_bucket{le="+Inf"}') == 2


def test_what_is_rolled_back_is_not_counted(metrics):
    with transaction.atomic():
        measures.observe("orch_bundle_size_bytes", 5, (10.0,))
        transaction.set_rollback(True)
    assert sample(scrape(metrics), "orch_bundle_size_bytes_count") == 0


def test_values_counted_at_the_same_time_are_all_counted(metrics):
    def count() -> None:
        for _ in range(25):
            measures.observe("orch_bundle_size_bytes", 3, bundle_measures.SIZE_BUCKETS_BYTES)
        connections.close_all()

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = scrape(metrics)
    assert sample(text, "orch_bundle_size_bytes_count") == 100
    assert sample(text, "orch_bundle_size_bytes_sum") == 300


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_cannot_be_measured_is_refused(value):
    with pytest.raises(ValueError, match="orch_bundle_size_bytes"):
        measures.observe("orch_bundle_size_bytes", value, (1.0,))


def test_a_database_that_does_not_answer_leaves_the_scrape_standing(metrics, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        monkeypatch.setitem(connection.settings_dict, "PORT", str(mute.getsockname()[1]))
        text = scrape(metrics)
    assert sample(text, "orch_database_up") == 0
    assert "orch_jobs" not in text


def test_a_half_written_file_of_a_web_process_does_not_break_the_scrape(tmp_path, metrics):
    (tmp_path / "metrics" / "1" / "counter_99.db").write_bytes(b"")
    assert sample(scrape(metrics), "orch_database_up") == 1


def test_counts_of_an_earlier_run_are_removed_at_start(tmp_path):
    directory = fresh_directory(tmp_path, 8012)
    (directory / "counter_1.db").write_bytes(b"old")
    other = fresh_directory(tmp_path, 8013)
    assert list(fresh_directory(tmp_path, 8012).iterdir()) == []
    assert other.is_dir()
