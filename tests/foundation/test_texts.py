"""Moments and invisible characters have one text everywhere."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from foundation.instant import rfc3339
from foundation.invisible import is_invisible, marked


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_comes_back_from_its_text(moment: datetime) -> None:
    text = rfc3339(moment)
    assert datetime.fromisoformat(text) == moment
    assert len(text) == len("2026-01-02T03:04:05.000006Z")


def test_a_moment_of_another_zone_is_told_in_utc() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-02T01:00:00.000000Z"


def test_marks_of_direction_controls_and_line_separators_are_invisible_and_letters_are_not() -> None:
    assert all(map(is_invisible, "\x00\x1b\u200b\u202e\u2028\ue000\ud800"))
    shown = "aé漢 \N{NO-BREAK SPACE}" + unicodedata.lookup("GRINNING FACE")
    assert not any(map(is_invisible, shown))
    assert marked(f"{shown}\u202e") == f"{shown}⟨U+202E⟩"
