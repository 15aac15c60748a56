"""The log of a job and of a worker: they name the job, lines are bounded, and no secret appears."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from foundation.log_format import JsonFormatter, TextFormatter, during
from foundation.principal import SYSTEM
from foundation.redaction import redact_text, redact_value
from jobs import services
from jobs.errors import PermanentError
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult
from jobs.worker.job_log import MOST_FIELDS_CHARS, MOST_MESSAGE_CHARS, line_of
from jobs.worker.worker import run_one

SECRET = "hunter2-S3CRET"  # must not appear anywhere


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"GET https://anna:{SECRET}@source.example/x", "GET https://[redacted]@source.example/x"),
        (f"GET https://{SECRET}@source.example/x?a=1", "GET https://[redacted]@source.example/x?a=1"),
        (f"https://source.example/x?token={SECRET}&a=1", "https://source.example/x?token=[redacted]&a=1"),
        (f"Authorization: Token {SECRET}", "Authorization: [redacted]"),
        (f"authorization=Basic {SECRET}", "authorization=[redacted]"),
        (f"curl -H 'Authorization: Bearer {SECRET}' http://h", "curl -H 'Authorization: [redacted]' http://h"),
        (f"sent Bearer {SECRET} to it", "sent Bearer [redacted] to it"),
        (f"Cookie: sessionid={SECRET}; b=1\nnext", "Cookie: [redacted]\nnext"),
        (f"host=db password={SECRET} user=a", "host=db password=[redacted] user=a"),
        (f"DB_PASS='{SECRET} x' y", "DB_PASS=[redacted] y"),
        (f"ORCH_SECRET_KEY={SECRET}", "ORCH_SECRET_KEY=[redacted]"),
        (f'{{"api_key": "{SECRET}"}}', '{"api_key": [redacted]}'),
        (f"-----BEGIN PRIVATE KEY-----\n{SECRET}", "-----BEGIN PRIVATE KEY-----[redacted]"),
    ],
)
def test_credentials_are_cut_out_of_texts(said, kept):
    assert redact_text(said) == kept
    assert redact_text(kept) == kept


@pytest.mark.parametrize(
    "said",
    [
        "fetched https://source.example/api/v1/timeline/incident-1?limit=5",
        "anna@example.org asked for it",
        "lease_token 6331f5b1-9f88-4356-801c-67466d03453f of attempt 2",
        "basic information; bearer of news; 3 tokens: a, b",
        "bypass=on keyboard=us",
    ],
)
def test_text_without_a_secret_is_unchanged(said):
    assert redact_text(said) == said


def test_fields_are_redacted_by_name_and_by_pattern_at_any_depth():
    fields = {
        "headers": {"Authorization": SECRET, "Accept": "json"}, "urls": [f"http://a:{SECRET}@h/"],
        "db_password": SECRET, "raw": SECRET.join(["token=", ""]).encode(), "count": 3, "none": None,
    }  # fmt: skip
    kept = redact_value(fields)
    assert SECRET not in json.dumps(kept)
    assert (kept["headers"]["Accept"], kept["count"], kept["none"]) == ("json", 3, None)
    assert kept["urls"] == ["http://[redacted]@h/"]


def test_a_line_has_a_bounded_size():
    line = line_of("loud", "m" * 10**6, {"many": ["x" * 100] * 10**4, "odd": "\x00"})
    assert line.level == "info"
    assert len(line.message) == MOST_MESSAGE_CHARS
    assert len(json.dumps(line.fields)) <= MOST_FIELDS_CHARS
    assert line_of("info", "m", {"number": 5}).fields == {"number": 5}


def formatted(message: str) -> str:
    return TextFormatter().format(logging.LogRecord("any.library", logging.INFO, __file__, 1, message, (), None))


def test_every_line_of_an_attempt_says_its_job_and_a_traceback_tells_no_secret():
    with during(job_id="j-1", attempt=2):
        assert formatted(f"http://a:{SECRET}@h/").endswith("any.library http://[redacted]@h/ attempt=2 job_id=j-1")
    assert "job_id" not in formatted("later")


def test_in_production_a_line_is_one_json_object_with_its_fields_and_no_secret():
    record = logging.LogRecord("jobs", logging.INFO, __file__, 1, f"asking http://a:{SECRET}@h/", (), None)
    record.fields = {"pid": 5, "headers": {"Authorization": SECRET}, "level": "a field cannot pose as the level"}
    with during(job_id="j-1"):
        text = JsonFormatter().format(record)
    line = json.loads(text)
    assert (line["level"], line["logger"], line["pid"], line["job_id"]) == ("info", "jobs", 5, "j-1")
    assert line["message"] == "asking http://[redacted]@h/"
    assert SECRET not in text
    assert "\n" not in text


def test_a_traceback_stays_on_its_line_of_json_without_secrets():
    try:
        raise ValueError(f"http://a:{SECRET}@h/")
    except ValueError as error:
        record = logging.LogRecord("jobs", logging.ERROR, __file__, 1, "it failed", (), (type(error), error, None))
    text = JsonFormatter().format(record)
    assert json.loads(text)["traceback"].endswith("ValueError: http://[redacted]@h/")
    assert SECRET not in text
    assert "\n" not in text


@pytest.fixture
def perform() -> Iterator[Callable[[Callable[[JobContext], JobResult]], Job]]:
    """Runs a handler as one attempt of a job."""

    def run(handler: Callable[[JobContext], JobResult]) -> Job:
        registry.register(registry.JobType(name="t", title="T", phases=("one",), handler=handler))
        queue.enqueue("t", {}, principal=SYSTEM, operation="test")
        job = run_one()
        assert job is not None
        return job

    yield run
    registry.unregister("t")


class Kept(logging.Handler):
    """Keeps lines as the product's own log would show them."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(TextFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.mark.django_db
def test_an_attempt_leaves_no_secret_in_its_job_its_log_or_the_workers(perform):
    def handler(context: JobContext) -> JobResult:
        context.log("info", f"asking http://a:{SECRET}@h/", headers={"Authorization": SECRET})
        logging.getLogger("some.library").warning("retrying http://a:%s@h/", SECRET)
        raise PermanentError("source_refused", f"http://a:{SECRET}@h/ refused Authorization: Token {SECRET}")

    kept = Kept()
    logging.getLogger().addHandler(kept)
    try:
        job = perform(handler)
    finally:
        logging.getLogger().removeHandler(kept)
    stored = [f"{line.message} {line.fields}" for line in services.log_of(job)]
    assert len(stored) == 2
    assert len(kept.lines) == 3
    assert job.error_message == "http://[redacted]@h/ refused Authorization: [redacted]"
    assert SECRET not in "\n".join([*stored, *kept.lines, job.error_message])
    assert all(f"job_id={job.job_id}" in line and "attempt=1" in line for line in kept.lines)
