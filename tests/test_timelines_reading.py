"""What an event says of itself: phase, severity and time as the evidence names them, and nothing guessed."""

from __future__ import annotations

from typing import Any

import pytest

from bundles.timelines.reading import SEVERITIES, UNDATED, microseconds_of, point_of, severity_of
from tests.timeline_rows import event


@pytest.mark.parametrize(
    ("fields", "phase"),
    [
        ({"metadata": {"tactic": "credential-access"}}, "credential-access"),
        ({"metadata": {"tactic": "Credential Access"}}, "credential-access"),
        ({"metadata": {"tactic": "defence_evasion"}}, "defense-evasion"),
        ({"metadata": {"tactic": "TA0040"}}, "impact"),
        ({"metadata": {}, "killchain_phase": "discovery"}, "discovery"),
        ({"metadata": {"tactics": ["not one", "execution", "impact"]}}, "execution"),
        ({"metadata": {"kill_chain_phases": [{"kill_chain_name": "x", "phase_name": "delivery"}]}}, "delivery"),
        ({"metadata": {"tactic": None}}, ""),
        ({"metadata": {"tactic": "magic"}}, ""),
        ({"metadata": ["tactic"]}, ""),
        ({"metadata": {"tactic": 7}}, ""),
    ],
)
def test_a_phase_is_what_the_evidence_names_and_nothing_is_guessed(fields: dict[str, Any], phase: str) -> None:
    assert point_of(event(**fields)).phase == phase


@pytest.mark.parametrize(
    ("told", "same_as"),
    [
        ("2026-01-12T08:00:00Z", "2026-01-12T08:00:00+00:00"),
        ("2026-01-12T08:00:00", "2026-01-12T08:00:00Z"),
        ("2026-01-12T10:00:00+02:00", "2026-01-12T08:00:00Z"),
        (1768204800, "2026-01-12T08:00:00Z"),
        (1768204800000, "2026-01-12T08:00:00Z"),
    ],
)
def test_times_in_every_shape_that_sources_send_are_the_same_moment(told: Any, same_as: str) -> None:
    assert microseconds_of(told) == microseconds_of(same_as) != UNDATED


@pytest.mark.parametrize("told", ["whenever", "", None, True, [], float("inf"), 10**400, "0001-01-01T00:00:00+23:59"])
def test_a_time_that_cannot_be_read_is_no_time(told: Any) -> None:
    assert microseconds_of(told) == UNDATED


def test_a_severity_that_is_none_of_ours_is_unrated() -> None:
    told = ["critical", " HIGH ", "Moderate", "informational", "boom", None, 3]
    assert [SEVERITIES[severity_of(one)] for one in told] == [
        "critical", "high", "medium", "info", "unrated", "unrated", "unrated",
    ]  # fmt: skip
