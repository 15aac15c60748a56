"""Paging of alerts: complete for every behavior of the service, never endless, never silently cut."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bundles.format.model.records import iter_array
from jobs.errors import PermanentError, RetryableError
from tests.support.upstreams import INCIDENT, Upstreams, says, small_incident


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


def lists(*lists: list[dict[str, Any]], with_total: bool = True) -> Callable[[Any], bool]:
    """Answers one query from each list, and all others from the last one, with or without its total."""
    queries = iter([*lists, *[lists[-1]] * 1000])

    def page(limit: int, offset: int) -> dict[str, Any]:
        listed = next(queries)
        return {"alerts": listed[offset : offset + limit], **({"total": len(listed)} if with_total else {})}

    return pages(page)


def queries(upstreams: Upstreams) -> int:
    return upstreams.asked.count("POST /query/alerts")


def numbers(evidence) -> list[int]:
    return sorted(record["number"] for record, _ in iter_array(evidence.members["alerts.json"]))


def slice_of(alerts: list[dict[str, Any]], total: dict[str, Any], limit: int, offset: int) -> dict[str, Any]:
    return {"alerts": alerts[offset : offset + limit], **total}


EVERY = [alert(number) for number in range(25)]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 25])
def test_every_alert_is_read_with_and_without_a_total(upstreams, staging, count):
    for total in ({}, {"total": count}, {"total_count": count}):
        place = staging / "-".join(["read", *total])
        place.mkdir()
        upstreams.answers["db"] = pages(partial(slice_of, EVERY[:count], total))
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


def test_a_total_that_changes_between_pages_is_a_retryable_error(upstreams, staging):
    upstreams.answers["db"] = pages(lambda n, at: {"alerts": EVERY[at : at + n], "total": 25 + at})
    with pytest.raises(RetryableError, match=r"Alerts DB.*changed"):
        upstreams.collect(staging, page_records=10)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(lambda n, _: {"alerts": EVERY[:n]}, id="full pages again and again"),
        pytest.param(lambda n, _: {"alerts": EVERY[: n + 1]}, id="more than asked for"),
        pytest.param(lambda n, at: {"alerts": [alert(at + k) for k in range(n)]}, id="endless new ones"),
        pytest.param(lambda n, at: {"alerts": EVERY[at : at + n], "total": 30}, id="fewer than the total"),
        pytest.param(lambda n, at: {"alerts": EVERY[at : at + n], "total": 24}, id="more than the total"),
        pytest.param(lambda n, at: {"alerts": EVERY[at : at + n], "total": "25"}, id="a total that is no number"),
        pytest.param(lambda *_: {"alerts": [alert(1, id=None)]}, id="no id"),
        pytest.param(lambda *_: {"alerts": [alert(1, id="")]}, id="an empty id"),
        pytest.param(lambda *_: {"alerts": [alert(1, id="x\0")]}, id="a control character in an id"),
        pytest.param(lambda *_: {"alerts": [alert(1, id=True)]}, id="an id that is a flag"),
        pytest.param(lambda *_: {"alerts": [alert(1, correlation_id="other")]}, id="another incident's"),
        pytest.param(lambda *_: {"alerts": [["list"]]}, id="a list for an alert"),
    ],
)
def test_responses_that_are_not_pages_of_this_incidents_alerts_are_refused(upstreams, staging, page):
    upstreams.answers["db"] = pages(page)
    with pytest.raises(PermanentError, match="Alerts DB") as raised:
        upstreams.collect(staging, page_records=10, alerts=200)
    assert raised.value.code == "source_invalid"


def test_ids_may_be_numbers(upstreams, staging):
    upstreams.answers["db"] = pages(lambda n, at: {"alerts": [alert(k, id=k) for k in range(3)][at : at + n]})
    assert ids(upstreams.collect(staging)) == [0, 1, 2]


MANY = [alert(number) for number in range(60)]


@pytest.mark.parametrize(
    ("served", "with_total", "right"),
    [
        pytest.param((MANY[:25], MANY[1:26]), True, range(1, 26), id="one leaves and one comes, the total agrees"),
        pytest.param((MANY[:25], MANY[1:25]), False, range(1, 25), id="one leaves, no total"),
        pytest.param((MANY[:25], MANY[1:25]), True, range(1, 25), id="one leaves, the total says so"),
        pytest.param((MANY[:25], MANY[12:37]), True, range(12, 37), id="more than a page leaves"),
        pytest.param(([alert(9, note="old"), *MANY[:25]], MANY[:25]), True, range(25), id="one changes and moves"),
    ],
)
def test_a_list_that_changes_after_its_first_page_is_read_until_two_readings_agree(
    upstreams, staging, served, with_total, right
):
    upstreams.answers["db"] = lists(*served, with_total=with_total)
    evidence = upstreams.collect(staging, page_records=10)
    assert numbers(evidence) == list(right)
    assert evidence.provenance["alerts"]["record_count"] == evidence.counts["alerts"] == len(right)
    assert [path.name for path in staging.glob("alerts*")] == ["alerts.json"]


@pytest.mark.parametrize("with_total", [True, False])
@pytest.mark.parametrize("newest_first", [True, False])
def test_a_list_that_only_grows_is_complete_as_of_the_beginning_of_its_reading(
    upstreams, staging, with_total, newest_first
):
    grown = [[*MANY[:n]][:: -1 if newest_first else 1] for n in range(25, 60)]
    upstreams.answers["db"] = lists(*grown, with_total=with_total)
    found = numbers(upstreams.collect(staging, page_records=10))
    assert found == list(range(len(found)))
    assert 25 <= len(found) <= 30
    assert queries(upstreams) <= 12


def shuffled(upstreams, _limit: int, offset: int) -> list[dict[str, Any]]:
    return random.Random(len(upstreams.asked)).sample(EVERY, len(EVERY))[offset : offset + 10]


def moving(upstreams, _limit: int, offset: int) -> list[dict[str, Any]]:
    first = queries(upstreams)
    return [alert(first + number) for number in range(25)][offset : offset + 10]


@pytest.mark.parametrize("page", [shuffled, moving])
@pytest.mark.parametrize("total", [{"total": 25}, {}])
def test_a_list_that_keeps_changing_fails_or_is_kept_with_a_fault_if_partial_is_allowed(
    upstreams, staging, page, total
):
    upstreams.answers["db"] = pages(lambda n, at: {"alerts": page(upstreams, n, at), **total})
    with pytest.raises(RetryableError, match=r"Alerts DB: its list of alerts changed.*\d+ alerts") as raised:
        upstreams.collect(staging, page_records=10)
    assert raised.value.code == "source_unavailable"
    assert queries(upstreams) <= 20
    place = staging / "partial"
    place.mkdir()
    evidence = upstreams.collect(place, page_records=10, allow_partial=True)
    assert [(gap["source"], "changed" in gap["reason"]) for gap in evidence.missing] == [("alerts", True)]
    found = numbers(evidence)
    assert len(found) == len(set(found)) == evidence.counts["alerts"] >= 24
    assert evidence.provenance["alerts"]["record_count"] == len(found)


def test_a_wrong_total_is_reported_with_the_count_and_the_alerts_are_kept_if_partial_is_allowed(upstreams, staging):
    upstreams.answers["db"] = pages(partial(slice_of, EVERY, {"total": 20}))
    evidence = upstreams.collect(staging, page_records=10, allow_partial=True)
    assert [gap["reason"] for gap in evidence.missing] == ["Alerts DB: it sent 25 alerts, and its total says 20."]
    assert evidence.counts["alerts"] == 25


def test_alerts_of_a_whole_reading_are_kept_when_the_next_reading_breaks_off(upstreams, staging):
    whole = pages(partial(slice_of, EVERY, {"total": 25}))

    def answer(exchange):
        return says(b"", 500)(exchange) if queries(upstreams) == 5 else whole(exchange)

    upstreams.answers["db"] = answer
    evidence = upstreams.collect(staging, page_records=10, allow_partial=True)
    assert evidence.counts["alerts"] == 25
    assert "HTTP 500" in evidence.missing[0]["reason"]


def test_an_incident_whose_alerts_fill_one_page_is_asked_for_once(upstreams, staging):
    upstreams.answers["db"] = pages(partial(slice_of, EVERY[:9], {"total": 9}))
    upstreams.collect(staging, page_records=10)
    assert queries(upstreams) == 1


# An alert that came twice, equal in every byte, is one alert, and the manifest says so; different ones of one id are
# all kept. Nothing of an alert is lost by that, and a restore need not tell equal ones apart.
@pytest.mark.parametrize("with_total", [True, False])
def test_different_alerts_of_one_id_are_kept_and_equal_ones_once_and_both_is_stated(upstreams, staging, with_total):
    same = [alert(1), alert(1, title="other"), alert(1), alert(2)]
    upstreams.answers["db"] = lists(same, with_total=with_total)
    evidence = upstreams.collect(staging, page_records=10)
    assert numbers(evidence) == [1, 1, 2]
    stated = evidence.provenance["alerts"]
    assert (stated["record_count"], stated["equal_records"], stated["repeated_ids"]) == (3, 1, 1)
    assert "alerts 1, 2 are different and have the id n1; all are kept" in stated["notes"]
    assert evidence.missing == []


def test_equal_alerts_on_two_pages_are_kept_once_and_stated_when_the_total_counts_them(upstreams, staging):
    twice = [*EVERY[:10], *EVERY[9:], EVERY[3]]
    upstreams.answers["db"] = lists(twice)
    evidence = upstreams.collect(staging, page_records=10)
    assert numbers(evidence) == list(range(25))
    assert evidence.provenance["alerts"]["equal_records"] == 2


def test_a_list_without_anything_of_note_has_only_the_plain_fields_in_its_entry(upstreams, staging):
    upstreams.answers["db"] = lists(EVERY)
    stated = upstreams.collect(staging, page_records=10).provenance["alerts"]
    identity = {"adapter", "adapter_version", "profile", "system", "ref"}
    assert set(stated) == {"url", "fetched_at", "record_count", "sha256"} | identity


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("came", [1, 3, 12])
def test_a_list_that_grows_for_ever_has_the_alerts_of_its_beginning_and_says_as_of_when(
    upstreams, staging, newest_first, came
):
    def page(limit: int, offset: int) -> dict[str, Any]:
        listed = [alert(number) for number in range(25 + came * (queries(upstreams) - 1))]
        listed = listed[::-1] if newest_first else listed
        return {"alerts": listed[offset : offset + limit], "total": len(listed)}

    upstreams.answers["db"] = pages(page)
    if newest_first and came > 10:  # a page is overtaken by each request: what the list had at first is never reached
        with pytest.raises(RetryableError, match="changed"):
            upstreams.collect(staging, page_records=10)
        assert queries(upstreams) < 400
        return
    evidence = upstreams.collect(staging, page_records=10)
    found, stated = numbers(evidence), evidence.provenance["alerts"]
    assert set(range(25)) <= set(found)
    assert found == list(range(25)) or newest_first
    assert stated["as_of"]["at"] == stated["fetched_at"]
    assert stated["as_of"]["records"] == stated["record_count"] == len(found)
    assert stated["as_of"]["later"] > 0
    assert queries(upstreams) < 100


def test_a_list_that_grows_without_a_total_ends_behind_its_first_short_page_and_says_as_of_when(upstreams, staging):
    def page(limit: int, offset: int) -> dict[str, Any]:
        listed = [alert(number) for number in range(24 + queries(upstreams))]
        return {"alerts": listed[offset : offset + limit]}

    upstreams.answers["db"] = pages(page)
    evidence = upstreams.collect(staging, page_records=10)
    stated = evidence.provenance["alerts"]
    assert numbers(evidence) == list(range(stated["as_of"]["records"]))
    assert stated["as_of"]["records"] + stated["as_of"]["later"] > stated["record_count"] >= 25
    assert queries(upstreams) <= 12


def test_alerts_put_into_the_middle_of_a_growing_list_do_not_displace_those_told_at_the_start(upstreams, staging):
    def page(limit: int, offset: int) -> dict[str, Any]:
        came = [alert(1000 + number) for number in range(queries(upstreams) - 1)]
        listed = [*EVERY[:18], *came, *EVERY[18:]]
        return {"alerts": listed[offset : offset + limit], "total": len(listed)}

    upstreams.answers["db"] = pages(page)
    evidence = upstreams.collect(staging, page_records=10)
    assert set(range(25)) <= set(numbers(evidence))
    assert evidence.provenance["alerts"]["as_of"]["later"] > 0


def test_a_total_of_null_is_none(upstreams, staging):
    upstreams.answers["db"] = pages(partial(slice_of, EVERY, {"total": None}))
    assert len(ids(upstreams.collect(staging, page_records=10))) == 25


def test_a_service_that_knows_neither_limit_nor_offset_is_believed_when_its_total_agrees(upstreams, staging):
    upstreams.answers["db"] = pages(lambda *_: {"alerts": EVERY, "total": 25})
    assert len(ids(upstreams.collect(staging, page_records=10))) == 25


def test_provenance_is_that_of_the_reading_that_is_kept(upstreams, staging):
    bodies: list[bytes] = []

    def answer(exchange):
        query = json.loads(exchange.body)
        listed = MANY[:25] if not bodies else MANY[1:26]
        page = {"alerts": listed[query["offset"] : query["offset"] + 10], "total": 25}
        bodies.append(json.dumps(page).encode())
        exchange.send_head(200, len(bodies[-1]), "application/json")
        exchange.wfile.write(bodies[-1])
        return True

    upstreams.answers["db"] = answer
    provenance = upstreams.collect(staging, page_records=10).provenance["alerts"]
    assert len(bodies) == 9
    assert provenance["sha256"] == hashlib.sha256(b"".join(bodies[3:6])).hexdigest()
