"""Times of events: unambiguous formats are read exactly, everything else is undated.

`REPORTED_TIMES` are formats from public reports such as google/timesketch#648 and #3119.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.timelines.reading import time_of
from bundles.timelines.times import EPOCH, UNDATED, UNITS, read
from tests.support.timeline_rows import NONE, REPORTED_TIMES

MORE = [
    (0, NONE),
    ("0", NONE),
    (-1543921747, NONE),
    (123456789, NONE),
    ("20210130", NONE),
    ("20210130100000", NONE),
    ("01543921747", NONE),
    ("\uff11543921747", NONE),
    (10**400, NONE),
    (float("inf"), NONE),
    (float("nan"), NONE),
    ("1e99", NONE),
    ("1e999999999", NONE),
    ("9" * 100, NONE),
    ([2021, 1, 30], NONE),
    ({"seconds": 1543921747}, NONE),
    (Decimal("1486215887.584922537"), "2017-02-04T13:44:47.584922"),
    (Decimal("1.543921747E+9"), "2018-12-04T11:09:07"),
    ("1601-01-01T00:00:00Z", "1601-01-01T00:00:00"),
    ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00"),
    ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59"),
    ("9999-12-31T24:00:00+01:00", "9999-12-31T23:00:00"),
    ("9999-12-31T24:00:00Z", NONE),
    ("0001-01-01T00:00:00+23:59", NONE),
    ("0000-01-01T00:00:00Z", NONE),
    ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00"),
    ("2016-12-31T23:59:60.75Z", "2017-01-01T00:00:00"),
    ("2016-12-31T23:59:60+01:00", NONE),
    ("2016-12-30T23:59:60Z", NONE),
    ("2016-12-31T23:59:61Z", NONE),
    ("2021-01-01T24:00:01Z", NONE),
    ("2021-01-01T24:00:00.5Z", NONE),
    ("2021-02-29T00:00:00Z", NONE),
    ("2021-13-01T00:00:00Z", NONE),
    ("2021-01-30T10:60:00Z", NONE),
    ("2021-01-30T10:00:00+24:00", NONE),
    ("2021-01-30T10:00:00 EST", NONE),
    ("2021-01/30 10:00:00", NONE),
    ("2021-01-30T10:00:00Zulu", NONE),
    ("2021-01-30 10:00:00Z\nx", NONE),
    ("  2021-01-30t10:00:00z ", "2021-01-30T10:00:00"),
    ("2021-01-30T10:00:00,5Z", "2021-01-30T10:00:00.5"),
    ("2022-11-22 02:06:02.3631543 +0000 UTC", "2022-11-22T02:06:02.363154"),
    ("20210130T100000.25+0130", "2021-01-30T08:30:00.25"),
    ("2021-01-30", "2021-01-30T00:00:00"),
]


class OwnText:
    """A number that keeps its own text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(("value", "right"), [*REPORTED_TIMES, *MORE], ids=repr)
def test_a_time_is_read_as_it_says_or_not_at_all(value: Any, right: str) -> None:
    assert read(value)[0] == (UNDATED if right == NONE else us(datetime.fromisoformat(right).replace(tzinfo=UTC)))


epoch_us = st.integers(us(datetime(1990, 1, 1, tzinfo=UTC)), us(datetime(2101, 1, 1, tzinfo=UTC)) - 1)


@given(epoch_us)
def test_digits_in_any_unit_are_the_same_moment_as_number_and_as_text(at: int) -> None:
    assert {read(at)[0], read(str(at))[0], read(at * 1000 + 999)[0], read(str(at * 1000))[0]} == {at}
    seconds, fraction = divmod(at, 10**6)
    assert read(seconds)[0] == read(f"{seconds}")[0] == at - fraction
    exact = f"{seconds}.{fraction:06d}"
    assert {read(exact)[0], read(Decimal(exact))[0], read(OwnText(exact + "999"))[0]} == {at}
    assert read(at // 1000)[0] == read(str(at // 1000))[0] == at - at % 1000
    assert read(Decimal(at) / 1000)[0] == at
    assert read((at + 11_644_473_600 * 10**6) * 10 + 7)[0] == at


@given(st.integers(0, 10**22))
def test_a_number_is_dated_within_1990_to_2100_and_by_one_unit_only(number: int) -> None:
    at, _ = read(number)
    assert at == UNDATED or 1990 <= (EPOCH + timedelta(microseconds=at)).year <= 2100
    fits = [count for count, before in UNITS if 631_152_000 <= number / count - before < 4_133_980_800]
    assert len(fits) == (at != UNDATED)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-1439, 1439))
def test_a_calendar_time_of_any_year_is_read_with_its_zone(moment: datetime, minutes: int) -> None:
    sign, off = "-+"[minutes >= 0], abs(minutes)
    text = moment.replace(tzinfo=None).isoformat() + f"{sign}{off // 60:02d}:{off % 60:02d}"
    try:
        expected = us(moment - timedelta(minutes=minutes))
    except OverflowError:
        expected = UNDATED
    assert read(text)[0] == expected


@given(st.text(max_size=70) | st.from_regex(r"[-0-9/T:.,Zz+ ]{0,40}", fullmatch=True))
def test_no_text_is_more_than_undated(text: str) -> None:
    at, _ = read(text)
    assert at == UNDATED or datetime.min.replace(tzinfo=UTC) <= EPOCH + timedelta(microseconds=at)


@pytest.mark.parametrize(
    ("event", "right", "text"),
    [
        (
            {
                "EventTime": "2020-05-01 22:55:23",
                "UtcTime": "2020-05-02 02:55:23.551",
                "@timestamp": "2020-05-02T02:55:25Z",
            },
            "2020-05-02T02:55:23.551",
            "UtcTime 2020-05-02 02:55:23.551; @timestamp 2020-05-02T02:55:25Z; EventTime 2020-05-01 22:55:23",
        ),
        (
            {"timestamp": 123456789, "datetime": "2015-07-24T19:01:01+00:00"},
            "2015-07-24T19:01:01",
            "datetime 2015-07-24T19:01:01+00:00; timestamp 123456789",
        ),
        ({"timestamp": 1435789661000000, "datetime": " "}, "2015-07-01T22:27:41", "1435789661000000"),
        ({"timestamp": "", "datetime": "2015-07-25 02:01:01Z"}, "2015-07-25T02:01:01", "2015-07-25 02:01:01Z"),
        (
            {"datetime": "2026-02-18T13:36:00+00:00", "timestamp": 1771421760000000},
            "2026-02-18T13:36:00",
            "2026-02-18T13:36:00+00:00",
        ),
        (
            {"timestamp": "2021-01-30T10:00:00", "eventTime": "2021-01-30T09:00:00Z"},
            "2021-01-30T09:00:00",
            "eventTime 2021-01-30T09:00:00Z; timestamp 2021-01-30T10:00:00",
        ),
        (
            {"timestamp": "last week", "@timestamp": "soon"},
            NONE,
            "timestamp last week; @timestamp soon",
        ),
        ({"timestamp": None}, NONE, "null"),
        ({"timestamp": ""}, NONE, '""'),
        ({"timestamp": True}, NONE, "true"),
        ({"timestamp": {"a": [1]}}, NONE, '{"a":[1]}'),
        ({"timestamp": OwnText("1486215887.584922537")}, "2017-02-04T13:44:47.584922", "1486215887.584922537"),
        ({"timestamp": Decimal("1543921747.10")}, "2018-12-04T11:09:07.1", "1543921747.10"),
        ({}, NONE, ""),
    ],
)  # fmt: skip
def test_of_several_times_one_with_a_zone_is_used_and_all_are_shown(
    event: dict[str, Any], right: str, text: str
) -> None:
    at, shown = time_of(event)
    assert shown == text
    assert at == (UNDATED if right == NONE else us(datetime.fromisoformat(right).replace(tzinfo=UTC)))
