"""HTTP as RFC 9110 has it: Retry-After, content encodings of answers, and connections that were closed meanwhile."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from email.utils import formatdate
from typing import Any

import pytest

from bundles.sources import waiting
from jobs.errors import CancelledError, PermanentError, RetryableError
from tests.support.upstreams import ALERTS, Upstreams, says, small_incident, timeline


@pytest.fixture
def upstreams(tmp_path):
    with Upstreams([small_incident(tmp_path / "data")]) as running:
        yield running


@pytest.fixture
def staging(tmp_path):
    made = tmp_path / "staging"
    made.mkdir()
    return made


def busy_first(code: int, times: int, **head: Any):
    """Answers the first requests with this; returns the answer and the times at which requests came."""
    came: list[float] = []

    def answer(exchange):
        came.append(time.time())
        return len(came) <= times and says(b"", code, **head)(exchange)

    return answer, came


@pytest.mark.parametrize("service", ["killchain", "db", "forensic"])
@pytest.mark.parametrize("code", [429, 503])
def test_a_source_that_asks_for_time_is_asked_again_after_it(upstreams, staging, service, code):
    upstreams.answers[service], came = busy_first(code, 1, Retry_After="1")
    assert upstreams.collect(staging).missing == []
    assert came[1] - came[0] >= 1


def test_a_date_in_retry_after_is_waited_for(upstreams, staging):
    until = int(time.time()) + 3
    upstreams.answers["killchain"], came = busy_first(503, 1, Retry_After=formatdate(until, usegmt=True))
    upstreams.collect(staging)
    assert came[1] >= until


@pytest.mark.parametrize("value", ["0", formatdate(0, usegmt=True)])
def test_a_source_that_asks_for_no_time_is_not_asked_without_a_pause_nor_for_ever(upstreams, staging, value):
    upstreams.answers["killchain"], came = busy_first(503, 1_000, Retry_After=value)
    with pytest.raises(RetryableError, match="503"):
        upstreams.collect(staging, timeout_s=1, total_factor=2)
    assert 2 <= len(came) <= 5


def test_a_source_that_asks_for_more_time_than_there_is_fails_for_now_and_says_when_to_come_again(upstreams, staging):
    upstreams.answers["killchain"], came = busy_first(429, 1, Retry_After="3000")
    with pytest.raises(RetryableError, match="429 and asks for 3000 s") as raised:
        upstreams.collect(staging)
    assert raised.value.not_before_s == 3000
    assert len(came) == 1


@pytest.mark.parametrize("value", ["soon", "-1", "1e3", "", "9" * 30])
def test_a_retry_after_that_says_no_time_is_not_waited_for(upstreams, staging, value):
    upstreams.answers["killchain"], came = busy_first(503, 1, Retry_After=value)
    with pytest.raises(RetryableError, match="HTTP 503"):
        upstreams.collect(staging)
    assert len(came) == 1


@pytest.mark.parametrize("silent", [False, True], ids=["asking for time", "silent"])
def test_waiting_for_a_source_ends_when_the_work_must_stop(upstreams, staging, silent):
    asked = threading.Event()

    def answer(exchange):
        asked.set()
        exchange.close_connection = True
        if not silent:
            return says(b"", 503, Retry_After="40")(exchange)
        exchange.rfile.read(1)  # until the other side gives up
        return True

    def check() -> None:
        if asked.is_set():
            raise CancelledError("stop")

    upstreams.answers["killchain"] = answer
    with pytest.raises(CancelledError):
        upstreams.collect(staging, check=check, timeout_s=30)


def test_the_check_of_a_wait_is_that_of_its_own_thread():
    seen: list[str] = []
    with waiting.stopped_by(lambda: seen.append("here")):
        other = threading.Thread(target=lambda: waiting.pause(0.01))
        other.start()
        other.join()
        assert seen == []
        waiting.pause(0.01)
    assert seen[:1] == ["here"]


@pytest.mark.parametrize(
    ("encoding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("X-GZIP", gzip.compress)]
)
def test_an_encoded_answer_is_decoded(upstreams, staging, encoding, encode):
    upstreams.answers["killchain"] = says(encode(json.dumps(timeline()).encode()), Content_Encoding=encoding)
    assert upstreams.collect(staging).counts["events"] == 3


@pytest.mark.parametrize(
    ("body", "encoding", "refused"),
    [
        (b"{}", "gzip", (PermanentError, "not gzip")),
        (b"{}", "br", (PermanentError, "not known here")),
        (gzip.compress(json.dumps(timeline()).encode())[:-9], "gzip", (RetryableError, "half-way")),
        (gzip.compress(b" " * 2**21), "gzip", (PermanentError, f"larger than {2**20} bytes")),
    ],
    ids=["not what it says", "unknown", "cut", "a bomb"],
)
def test_an_encoded_answer_that_cannot_be_used_fails(upstreams, staging, body, encoding, refused):
    upstreams.answers["killchain"] = says(body, Content_Encoding=encoding)
    with pytest.raises(refused[0], match=refused[1]):
        upstreams.collect(staging, timeline_bytes=2**20)


def test_a_request_on_a_kept_connection_that_was_closed_is_sent_once_more(upstreams, staging):
    """Every second request on a connection finds it closed, as by a server that keeps it for less time than it says."""
    lost: list[int] = []

    def answer(exchange):
        seen = exchange.__dict__.setdefault("seen", [])
        seen.append(exchange.path)
        if len(seen) < 2:
            return False
        lost.append(1)
        exchange.connection.shutdown(socket.SHUT_RDWR)
        exchange.close_connection = True
        return True

    for service in ("db", "forensic"):
        upstreams.answers[service] = answer
    assert upstreams.collect(staging).counts["alerts"] == ALERTS
    assert lost


def test_a_request_on_a_new_connection_that_is_closed_is_not_repeated(upstreams, staging):
    came: list[str] = []

    def answer(exchange):
        came.append(exchange.path)
        exchange.connection.shutdown(socket.SHUT_RDWR)
        exchange.close_connection = True
        return True

    upstreams.answers["killchain"] = answer
    with pytest.raises(RetryableError, match="cannot be reached"):
        upstreams.collect(staging)
    assert len(came) == 1
