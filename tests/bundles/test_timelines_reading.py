"""Phase and severity of an event as the evidence names them; nothing is guessed."""

from __future__ import annotations

from typing import Any

import pytest

from bundles.timelines.reading import SEVERITIES, point_of, severity_of
from tests.support.timeline_rows import event


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


def test_an_unknown_severity_is_unrated() -> None:
    stated = ["critical", " HIGH ", "Moderate", "informational", "boom", None, 3]
    assert [SEVERITIES[severity_of(one)] for one in stated] == [
        "critical", "high", "medium", "info", "unrated", "unrated", "unrated",
    ]  # fmt: skip
