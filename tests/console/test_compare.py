"""Two bundles of one incident compared: equal evidence or not, and file by file, from what was signed."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from bundles.manifest_files import PAIRS, Comparison, compare
from bundles.models import Bundle, Manifest
from tests.console.test_pages import MOST_QUERIES, shown
from tests.support import console_rows as rows
from tests.support.console_rows import signed_in
from tests.support.main_job import INCIDENT, bundle, sources

__all__ = ["sources"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

SAME = {"alerts.json": "1", "timeline.json": "2"}


@pytest.fixture
def operator() -> Client:
    return signed_in("operator")


def listing(files: dict[str, str], **fields: Any) -> Bundle:
    """A bundle whose manifest lists `files`, path → what stands for its bytes."""
    told = [{"path": path, "size": len(text), "sha256": rows.sha(text)} for path, text in sorted(files.items())]
    made = rows.bundle(content_digest=rows.sha(json.dumps(told)), files=len(told), **fields)
    Manifest.objects.create(bundle=made, raw=json.dumps({"files": told}).encode())
    return made


def page_of(a: Bundle | None = None, b: Bundle | None = None, more: str = "", incident: str = rows.INCIDENT) -> str:
    chosen = f"?a={a.bundle_id}&b={b.bundle_id}" if a and b else "?"
    return reverse("compare-bundles", args=[incident]) + chosen + more


def words(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def tabs(text: str) -> dict[str, str]:
    found = re.findall(r'class="btn"[^>]*>(Differs|Only in A|Only in B|Equal)\s*<span class="muted">([\d,]+)', text)
    return dict(found)


def test_equal_evidence_is_said_in_words(operator: Client, django_assert_max_num_queries: Any) -> None:
    a, b = listing(SAME), listing(SAME)
    with django_assert_max_num_queries(MOST_QUERIES):
        text = shown(operator, page_of(a, b))
    assert "Equal evidence" in text
    assert "the same 2 files, byte for byte" in words(text)
    assert tabs(text) == {"Differs": "0", "Only in A": "0", "Only in B": "0", "Equal": "2"}
    assert "Different evidence" not in text


def test_what_differs_stands_first_with_both_digests(operator: Client) -> None:
    a = listing({**SAME, "artifacts/x/changed": "before", "artifacts/x/gone": "g"})
    b = listing({**SAME, "artifacts/x/changed": "after!!", "artifacts/y/new": "n", "artifacts/y/newer": "m"})
    text = shown(operator, page_of(a, b))
    assert "Different evidence" in text
    assert "1 file differs, 1 only in A, 2 only in B; 2 are equal. Content digests are not equal." in words(text)
    assert tabs(text) == {"Differs": "1", "Only in A": "1", "Only in B": "2", "Equal": "2"}
    for told in ("before", "after!!"):
        assert f'data-copy="{rows.sha(told)}"' in text
    assert "artifacts/x/changed" in text
    assert "artifacts/x/gone" not in text
    for kind, path in (("only-a", "artifacts/x/gone"), ("only-b", "artifacts/y/newer"), ("equal", "alerts.json")):
        assert path in shown(operator, page_of(a, b, f"&show={kind}"))
    other_way = shown(operator, page_of(b, a))
    assert tabs(other_way) == {"Differs": "1", "Only in A": "2", "Only in B": "1", "Equal": "2"}


def test_every_file_is_in_exactly_one_list() -> None:
    a = listing({f"p{number}": str(number % 7) for number in range(90)})
    b = listing({f"p{number}": str(number % 5) for number in range(40, 120)})
    found = compare(a.bundle_id, b.bundle_id)
    paths = [pair.path for kind in PAIRS for pair in found.of(kind)]
    assert sorted(paths) == sorted({f"p{number}" for number in range(120)})
    assert isinstance(found, Comparison)
    assert {pair.path for pair in found.equal} == {f"p{n}" for n in range(40, 90) if n % 7 == n % 5}


def test_a_file_of_equal_digest_and_another_size_is_not_called_equal() -> None:
    a, b = listing(SAME), listing(SAME)
    told = json.loads(bytes(Manifest.objects.get(bundle=b).raw))
    told["files"][0]["size"] += 1
    Manifest.objects.filter(bundle=b).update(raw=json.dumps(told).encode())
    assert [pair.path for pair in compare(a.bundle_id, b.bundle_id).differs] == ["alerts.json"]


def test_the_two_newest_are_compared_when_none_is_chosen(operator: Client) -> None:
    listing(SAME, created_at="2026-01-01T00:00:00Z")
    middle = listing(SAME, created_at="2026-01-02T00:00:00Z")
    newest = listing(SAME, created_at="2026-01-03T00:00:00Z")
    text = shown(operator, page_of())
    selected = re.findall(r'<option value="([0-9a-f-]{36})"\s+selected', text)
    assert selected == [str(middle.bundle_id), str(newest.bundle_id)]


def test_one_bundle_alone_asks_for_another(operator: Client) -> None:
    only = listing(SAME)
    text = shown(operator, page_of())
    assert "There is only one bundle" in text
    assert "The same bundle twice" in shown(operator, page_of(only, only))


def test_each_bundles_own_verification_and_gaps_are_told(operator: Client) -> None:
    a = listing(SAME)
    b = listing({"alerts.json": "1"}, complete=False, missing=[{"path": rows.HOSTILE, "reason": "HTTP 404"}])
    rows.verification(a)
    rows.verification(b, ok=False)
    text = shown(operator, page_of(a, b))
    for told in ("Verified", "Not verified", "Partial", "HTTP 404", "U+202E"):
        assert told in text
    assert "<script>alert" not in text


def test_digests_and_lists_that_contradict_each_other_are_called_unsafe(operator: Client) -> None:
    a, b = listing(SAME), listing({"alerts.json": "other"})
    Bundle.objects.filter(pk=b.pk).update(content_digest=a.content_digest)
    text = shown(operator, page_of(a, b))
    assert "The records contradict each other" in text
    assert "Equal evidence" not in text


def test_nothing_is_claimed_without_a_stored_manifest(operator: Client) -> None:
    a, b = listing(SAME), rows.bundle()
    text = shown(operator, page_of(a, b))
    assert "Cannot be compared" in text
    assert "qual evidence" not in text


def test_lists_are_paged(operator: Client) -> None:
    a, b = listing({}), listing({f"artifacts/{number:04}/x": str(number) for number in range(130)})
    seen: list[str] = []
    address = page_of(a, b)
    for _ in range(3):
        text = shown(operator, address)
        seen += re.findall(r"artifacts/(\d{4})/x", text)
        following = re.findall(r'href="(\?[^"]*)"\s+rel="next"', text)
        if following:
            address = (
                reverse("compare-bundles", args=[rows.INCIDENT]) + following[0].replace("&amp;", "&").split("#")[0]
            )
    assert seen == [f"{number:04}" for number in range(130)]
    assert "There are no more files." in shown(operator, page_of(a, b, "&show=only-b&from=9999"))
    assert "1 to 50 of 130 files" in words(shown(operator, page_of(a, b, "&show=odd&from=-1")))


def test_hostile_paths_are_text_that_hides_nothing(operator: Client) -> None:
    a, b = listing({f"artifacts/x/{rows.HOSTILE}": "1"}), listing({"artifacts/x/" + "y" * 900: "2"})
    for more in ("&show=only-a", "&show=only-b"):
        text = shown(operator, page_of(a, b, more))
        assert "<script>alert" not in text
        assert "\u202e" not in text
    assert "U+202E" in shown(operator, page_of(a, b, "&show=only-a"))


def test_a_bundle_of_another_incident_or_of_none_is_not_found(operator: Client) -> None:
    a, other = listing(SAME), listing(SAME, incident_id="another")
    for strange in (str(other.bundle_id), str(uuid4()), "nonsense", "%00"):
        address = reverse("compare-bundles", args=[rows.INCIDENT]) + f"?a={a.bundle_id}&b={strange}"
        assert "bundle_not_found" in shown(operator, address, status=404)
    for incident in ("unknown", "..", "a b"):
        assert "bundle_not_found" in shown(operator, page_of(incident=incident), status=404)
    assert "permission_denied" in shown(signed_in(""), page_of(), status=403)
    assert "Equal evidence" in shown(signed_in("viewer"), page_of(a, listing(SAME)))


def test_two_real_bundles_of_unchanged_sources_are_equal_evidence(operator: Client, sources: Any) -> None:
    a, b = bundle(), bundle()
    assert a.sha256 != b.sha256
    text = shown(operator, page_of(a, b, incident=INCIDENT))
    assert "Equal evidence" in text
    assert tabs(text)["Equal"] == str(a.files)
