"""Paging of alerts: complete whatever the service's habits, never endless, never cut in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bundles.format.records import iter_array
from jobs.errors import PermanentError, RetryableError
from tests.upstreams import INCIDENT, Upstreams, small_incident


@pytest.fixture
def upstreams(tmp_path):
    with Upstreams([small_incident(tmp_path / "data")]) as running:
        yield running


@pytest.fixture
def staging(tmp_path):
    made = tmp_path / "staging"
    made.mkdir()
    return made


def alert(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"n{number}", "timestamp": "2026-01-01T00:00:00Z", "number": number} | changes


def pages(page: Callable[[int, int], dict[str, Any]]) -> Callable[[Any], bool]:
    """Answers each query with `page(limit, offset)`."""

    def answer(exchange):
        query = json.loads(exchange.body)
        assert query["correlation_id"] == INCIDENT
        exchange.send_json(page(query["limit"], query["offset"]))
        return True

    return answer


def ids(evidence) -> list[Any]:
    return [record["id"] for record, _ in iter_array(evidence.members["alerts.json"])]


def slice_of(alerts: list[dict[str, Any]], told: dict[str, int], limit: int, offset: int) -> dict[str, Any]:
    return {"alerts": alerts[offset : offset + limit], **told}


EVERY = [alert(number) for number in range(25)]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 25])
def test_every_alert_is_read_with_and_without_a_total(upstreams, staging, count):
    for told in ({}, {"total": count}, {"total_count": count}):
        place = staging / "-".join(["read", *told])
        place.mkdir()
        upstreams.answers["db"] = pages(partial(slice_of, EVERY[:count], told))
        assert sorted(ids(upstreams.collect(place, page_records=10))) == sorted(one["id"] for one in EVERY[:count])


def test_a_service_that_caps_its_pages_is_read_to_the_end(upstreams, staging):
    upstreams.answers["db"] = pages(lambda n, at: {"alerts": EVERY[at : at + min(n, 4)]})
    assert len(ids(upstreams.collect(staging, page_records=10))) == 25


def test_a_service_without_offsets_whose_alerts_fit_one_page_is_read(upstreams, staging):
    upstreams.answers["db"] = pages(lambda *_: {"alerts": EVERY[:7]})
    assert len(ids(upstreams.collect(staging, page_records=10))) == 7


def test_the_same_alert_in_two_pages_is_kept_once(upstreams, staging):
    shifted = EVERY[:10] + EVERY[9:]
    upstreams.answers["db"] = pages(lambda n, at: {"alerts": shifted[at : at + n]})
    assert len(ids(upstreams.collect(staging, page_records=10))) == 25


def test_an_alert_that_changes_between_pages_can_be_tried_again(upstreams, staging):
    changed = [*EVERY[:10], alert(9, note="other"), *EVERY[10:]]
    upstreams.answers["db"] = pages(lambda n, at: {"alerts": changed[at : at + n]})
    with pytest.raises(RetryableError, match=r"Alerts DB.*changed"):
        upstreams.collect(staging, page_records=10)


def test_a_total_that_changes_between_pages_can_be_tried_again(upstreams, staging):
    upstreams.answers["db"] = pages(lambda n, at: {"alerts": EVERY[at : at + n], "total": 25 + at})
    with pytest.raises(RetryableError, match=r"Alerts DB.*changed"):
        upstreams.collect(staging, page_records=10)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(lambda n, _: {"alerts": EVERY[:n]}, id="full pages again and again"),
        pytest.param(lambda n, _: {"alerts": EVERY[: n + 1]}, id="more than asked for"),
        pytest.param(lambda n, at: {"alerts": [alert(at + k) for k in range(n)]}, id="endless new ones"),
        pytest.param(lambda n, at: {"alerts": EVERY[at : at + n], "total": 30}, id="fewer than told"),
        pytest.param(lambda n, at: {"alerts": EVERY[at : at + n], "total": 24}, id="more than told"),
        pytest.param(lambda n, at: {"alerts": EVERY[at : at + n], "total": "25"}, id="a total that is no number"),
        pytest.param(lambda *_: {"alerts": [alert(1, id=None)]}, id="no id"),
        pytest.param(lambda *_: {"alerts": [alert(1, id="")]}, id="an empty id"),
        pytest.param(lambda *_: {"alerts": [alert(1, id="x\0")]}, id="a control character in an id"),
        pytest.param(lambda *_: {"alerts": [alert(1, id=True)]}, id="an id that is a flag"),
        pytest.param(lambda *_: {"alerts": [alert(1, correlation_id="other")]}, id="another incident's"),
        pytest.param(lambda *_: {"alerts": [["list"]]}, id="a list for an alert"),
    ],
)
def test_what_are_not_pages_of_this_incidents_alerts_is_refused(upstreams, staging, page):
    upstreams.answers["db"] = pages(page)
    with pytest.raises(PermanentError, match="Alerts DB") as raised:
        upstreams.collect(staging, page_records=10, alerts=200)
    assert raised.value.code == "source_invalid"


def test_ids_may_be_numbers(upstreams, staging):
    upstreams.answers["db"] = pages(lambda n, at: {"alerts": [alert(k, id=k) for k in range(3)][at : at + n]})
    assert ids(upstreams.collect(staging)) == [0, 1, 2]
