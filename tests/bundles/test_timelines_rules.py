"""The rules of a source: bare numbers as severities, texts without a zone, numbers of a stated unit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bundles.format.model.canonical import canonical_json
from bundles.timelines import rules, severities
from bundles.timelines.reading import point_of
from bundles.timelines.rules import NO_RULES, Rules
from bundles.timelines.times import UNDATED


def moment(record: dict[str, Any], found: Rules) -> str:
    at_us = point_of(record, canonical_json(record).decode(), rules=found).at_us
    return "" if at_us == UNDATED else datetime.fromtimestamp(at_us / 10**6, UTC).isoformat()


@pytest.mark.parametrize(
    ("scale", "record", "severity", "shown"),
    [
        ("suricata", {"severity": 1}, "high", "Suricata 1"),
        ("thehive", {"severity": 1}, "low", "TheHive 1"),
        ("wazuh", {"level": "15"}, "critical", "Wazuh 15"),
        ("suricata", {"severity": "critical"}, "critical", "critical"),
        ("suricata", {"severity": 1, "rule": {"level": 3}}, "info", "Wazuh 3"),
        ("suricata", {"severity": 9}, "unrated", "Suricata 9"),
        ("", {"severity": 1}, "unrated", "1"),
    ],
)
def test_a_bare_number_is_rated_by_the_scale_of_its_source(
    scale: str, record: dict[str, Any], severity: str, shown: str
) -> None:
    rated = severities.read(record, rules.of_entry({"severities": scale}).scale)
    assert (severities.SEVERITIES[rated.rank], rated.text) == (severity, shown)


@pytest.mark.parametrize(
    ("times", "value", "expected"),
    [
        ({"zone": "Europe/Berlin"}, "2026-07-01 12:00:00", "2026-07-01T10:00:00+00:00"),
        ({"zone": "Europe/Berlin"}, "2026-01-01 12:00:00", "2026-01-01T11:00:00+00:00"),
        ({"zone": "+02:00"}, "2026-01-01 12:00:00", "2026-01-01T10:00:00+00:00"),
        ({"zone": "-03:30"}, "2026-01-01 12:00:00", "2026-01-01T15:30:00+00:00"),
        ({"zone": "Europe/Berlin"}, "2026-01-01T12:00:00Z", "2026-01-01T12:00:00+00:00"),
        ({"zone": "Europe/Berlin"}, "2026-10-25 02:30:00", ""),  # twice that night
        ({"zone": "Europe/Berlin"}, "2026-03-29 02:30:00", ""),  # never that night
        ({"numbers": "ms"}, 1767225600000, "2026-01-01T00:00:00+00:00"),
        ({"numbers": "s"}, 1767225600000, ""),
        ({"numbers": "s"}, "1767225600", "2026-01-01T00:00:00+00:00"),
        ({}, "2026-01-01 12:00:00", "2026-01-01T12:00:00+00:00"),
    ],
)
def test_a_time_is_read_by_the_rules_of_its_source(times: dict[str, str], value: Any, expected: str) -> None:
    record = {"timestamp": value}
    found = rules.of_entry({"times": times})
    assert moment(record, found) == expected
    assert point_of(record, "{}", rules=found).time == str(value)


def test_a_field_that_is_utc_by_its_name_stays_utc() -> None:
    record = {"UtcTime": "2026-01-01 12:00:00"}
    assert moment(record, rules.of_entry({"times": {"zone": "Europe/Berlin"}})) == "2026-01-01T12:00:00+00:00"


@pytest.mark.parametrize(
    "entry",
    [None, [], {}, {"severities": "richter", "times": {"zone": "../etc/passwd", "numbers": "days"}}, {"times": 3},
     {"severities": ["wazuh"], "times": {"zone": None, "numbers": {}}}],
)  # fmt: skip
def test_rules_that_are_not_known_are_none(entry: Any) -> None:
    assert rules.of_entry(entry) == NO_RULES
