"""Severities as sources write them: each scale is read by its own rule, and a bare number is not guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bundles.timelines.severities import SCALES, SEVERITIES, WORDS, read

DOCS = Path(__file__).resolve().parents[2] / "docs" / "timelines.md"


@pytest.mark.parametrize(
    ("record", "name", "text"),
    [
        ({"severity": "critical"}, "critical", "critical"),
        ({"severity": " HIGH "}, "high", " HIGH "),
        ({"severity": "Moderate"}, "medium", "Moderate"),
        ({"severity": "informational"}, "info", "informational"),
        ({"severity": "Severe"}, "high", "Severe"),
        ({"severity": "warning"}, "medium", "warning"),
        ({"severity": "boom"}, "unrated", "boom"),
        ({"severity": None}, "unrated", ""),
        ({}, "unrated", ""),
        ({"severity": 1}, "unrated", "1"),
        ({"severity": "3"}, "unrated", "3"),
        ({"severity": True}, "unrated", "True"),
        ({"alert": {"severity": 1}}, "high", "Suricata 1"),
        ({"raw_data": {"alert": {"severity": 3}}}, "low", "Suricata 3"),
        ({"rule": {"level": 15}}, "critical", "Wazuh 15"),
        ({"rule": {"level": "12"}}, "high", "Wazuh 12"),
        ({"rule": {"level": 3}, "severity": 3}, "info", "Wazuh 3"),
        ({"rule": {"level": 99}}, "unrated", "Wazuh 99"),
        ({"threat_level_id": "1"}, "high", "MISP 1"),
        ({"Event": {"threat_level_id": "4"}}, "unrated", "MISP 4"),
        ({"cvss": 9.8}, "critical", "CVSS 9.8"),
        ({"cvss": {"base_score": "0.0"}}, "info", "CVSS 0.0"),
        ({"vulnerability": {"score": {"base": 6.9}}}, "medium", "CVSS 6.9"),
        ({"cvss_score": 11}, "unrated", "CVSS 11"),
        ({"EventID": 1102, "Level": 4}, "info", "Windows 4"),
        ({"raw_data": {"System": {"Level": 1}}}, "critical", "Windows 1"),
        ({"Level": 2}, "unrated", ""),
        ({"severity": 2, "pap": 2}, "medium", "TheHive 2"),
        ({"severity": 4, "caseId": "x"}, "critical", "TheHive 4"),
        ({"severity": 5, "service": {"detectorId": "d"}}, "medium", "GuardDuty 5"),
        ({"syslog_severity": 4}, "medium", "Syslog 4"),
        ({"level": "Warning"}, "medium", "Warning"),
        ({"severity": {"severity_id": 5, "severity_name": "High"}}, "high", "High"),
        ({"severity": {"severity_id": 1, "severity_name": "Unspecified"}}, "unrated", "Unspecified"),
        ({"severity": "low", "rule": {"level": 15}}, "low", "low"),
    ],
)
def test_a_severity_is_read_by_the_scale_of_its_source_and_its_text_is_kept(
    record: dict[str, Any], name: str, text: str
) -> None:
    rated = read(record)
    assert (SEVERITIES[rated.rank], rated.text) == (name, text)


@pytest.mark.parametrize(
    "value", [[], {}, [1], "1" * 100, "\u0661", "1e3", "-1", "nan", "\x00", "\ud800", float("nan"), 10**400]
)
def test_no_value_breaks_the_reading(value: Any) -> None:
    for record in ({"severity": value}, {"rule": {"level": value}}, {"cvss": value}, {"alert": {"severity": value}}):
        rated = read(record)
        assert 0 <= rated.rank < len(SEVERITIES)
        rated.text.encode("utf-8")


def test_the_document_lists_every_scale_and_word() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for scale in SCALES:
        assert f"`{'.'.join(scale.path)}`" in text
    for word in WORDS:
        assert f"`{word}`" in text
