"""What the records say about artifacts is indexed when a bundle is made, and added when one is verified."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bundles.artifacts import contents, index
from bundles.models import Bundle, BundledArtifact
from bundles.timelines import record_index
from tests.support import console_rows as rows
from tests.support.console_evidence import evidence, verify
from tests.support.main_job import bundle

__all__ = ["evidence"]

SAID = ("original_name", "kind", "host", "collected_at")


def said(made: Bundle) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in BundledArtifact.objects.filter(bundle=made).values_list("artifact_id", *SAID)}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, ("", "", "", "")),
        ({"name": None, "artifact_type": None, "source_host": False, "collected_at": ""}, ("", "", "", "")),
        ({"artifact_type": "log", "type": "other"}, ("", "log", "", "")),
        ({"artifact_type": "", "type": "other", "hostname": "h"}, ("", "other", "h", "")),
        (
            {"name": "a\x00\ud800b", "host": {"b": [1]}, "collected_at": 1543921747},
            ("a␀?b", "", '{"b":[1]}', "1543921747"),
        ),
        ({"name": "x" * 5000, "kind": "y" * 5000}, ("x" * 1000, "y" * 200, "", "")),
        ({"faults": ["its name is absolute", 7, "two\nlines"]}, ("", "", "", "", "its name is absolute\n7\ntwo lines")),
    ],
)
def test_only_what_a_record_says_is_taken_and_cut(record: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert index.description_of(record) == (expected if len(expected) == 5 else (*expected, ""))


@pytest.mark.django_db
def test_a_new_bundle_has_it_and_a_verification_adds_it_to_one_whose_records_were_not_read(evidence: Any) -> None:
    made = bundle("hard")
    new = said(made)
    assert new["hard.b-3"] == ("ímynd með bili \U0001f600 \u202egnp.exe", "", "", "2026-01-02T00:00:00Z")
    assert new["hard.b-1"] == ("", "", "", "2026-01-02T00:00:00Z")
    BundledArtifact.objects.update(original_name="", kind="", host="", collected_at="")
    verify(made)
    assert said(made)["hard.b-1"][3] == ""  # its records were read when it was made
    Bundle.objects.update(counts=None)
    verify(made)
    assert said(made) == new


@pytest.mark.django_db
def test_records_are_read_in_batches_and_those_of_no_file_are_ignored(tmp_path: Path) -> None:
    records = [{"artifact_id": f"a-{at}", "name": f"n-{at}", "host": "h"} for at in range(index.BATCH + 1)]
    (tmp_path / "artifacts.json").write_text(json.dumps(records))
    found: dict[str, index.Description] = {}
    members = {"artifacts.json": tmp_path / "artifacts.json"}
    record_index.prepare(members, {}, tmp_path / "rows", on_artifact=partial(index.collect, found))
    assert len(found) == index.BATCH + 1
    made = rows.bundle()
    rows.in_bundle(made, "n-1", "a-1")
    rows.in_bundle(made, "stored", f"a-{index.BATCH}")
    rows.in_bundle(rows.bundle(), "n-1", "a-1")
    index.describe(made.bundle_id, found)
    assert said(made) == {"a-1": ("", "", "h", ""), f"a-{index.BATCH}": (f"n-{index.BATCH}", "", "h", "")}
    assert BundledArtifact.objects.filter(host="").count() == 1
    none: dict[str, index.Description] = {}
    record_index.prepare({}, {}, tmp_path / "no-rows", on_artifact=partial(index.collect, none))
    assert none == {}


@pytest.mark.django_db
def test_what_is_inside_is_said_in_words_singular_and_plural() -> None:
    counts = {"events": 1, "alerts": {}, "artifacts": 0}
    assert contents.inside(rows.bundle(counts=counts), hosts=1) == "1 event, 0 alerts, 0 artifacts"
    counts = {"events": None, "alerts": {"low": 1}, "artifacts": 1}
    assert contents.inside(rows.bundle(counts=counts), hosts=1) == "1 alert, 1 artifact from 1 host"
    gaps = [{"source": f"s-{at}", "reason": "x"} for at in range(7)]
    assert contents.missing_words(gaps) == "s-0, s-1, s-2, s-3, s-4, 2 other sources"
    assert contents.missing_words([]) == ""
