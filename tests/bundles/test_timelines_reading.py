"""Phase and severity of an event as the evidence names them; nothing is guessed."""

from __future__ import annotations

from typing import Any

import pytest

from bundles.format.model.canonical import canonical_json
from bundles.timelines.reading import point_of
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
    record = event(**fields)
    assert point_of(record, canonical_json(record).decode()).phase == phase


def test_a_field_of_hosts_or_accounts_may_have_several_names() -> None:
    record = event(hosts=["DC01", "10.0.0.5", 7, "ws-2"], accounts=["Ada", {"name": "x"}], source=None, target=None)
    point = point_of(record, canonical_json(record).decode())
    assert (point.hosts, point.accounts) == (["dc01", "ws-2"], ["ada"])
