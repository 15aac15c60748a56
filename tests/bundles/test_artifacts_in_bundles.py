"""Artifacts in bundles are indexed when the bundle is registered, and found by the search without a restore."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bundles import manifest_files
from bundles.artifacts import index, single_files
from bundles.format.model.manifest import FileEntry
from bundles.models import Bundle, BundledArtifact
from incidents.search import artifacts
from rehydration.models import ArtifactRecord
from tests.console.test_search import plan_of, read_whole
from tests.support import console_rows as rows
from tests.support.console_evidence import HARD_NAMES, evidence, text_of
from tests.support.console_rows import signed_in
from tests.support.main_job import bundle

__all__ = ["evidence"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("evidence")]
HEADING = '<span class="kind">Artifact</span>'
COLUMNS = ("bundle_id", "place", "artifact_id", "name", "size", "sha256")


def search(text: str, role: str = "analyst") -> str:
    answer = signed_in(role).get(reverse("find"), {"q": text})
    assert answer.status_code == 200
    return text_of(answer)


def place_in(made: Bundle, found: BundledArtifact) -> str:
    """The address of the bundle's contents, narrowed to one artifact's file."""
    path = quote(f"artifacts/{found.artifact_id}/{found.name}", safe="")
    return f"{reverse('bundle-page', args=[made.bundle_id])}?find={path}#contents"


def indexed() -> list[tuple[Any, ...]]:
    return list(BundledArtifact.objects.order_by("bundle_id", "place").values_list(*COLUMNS))


def listed(made: Bundle) -> list[tuple[Any, ...]]:
    """The same as `indexed`, from the bundle's file list."""
    return [
        (made.bundle_id, place, one["artifact_id"], one["path"].split("/")[2], one["size"], one["sha256"])
        for place, one in enumerate(manifest_files.files_of(made.bundle_id))
        if "artifact_id" in one
    ]


def test_the_artifacts_of_a_new_bundle_are_found() -> None:
    made = bundle("hard")
    assert indexed() == listed(made)
    assert len(indexed()) == len(HARD_NAMES)
    for artifact_id, (_, content) in HARD_NAMES.items():
        found = BundledArtifact.objects.get(artifact_id=f"hard.{artifact_id}")
        digest = hashlib.sha256(content).hexdigest()
        assert found.sha256 == digest
        for text in (found.artifact_id, digest, found.name[:100].swapcase()):
            page = search(text.strip())
            assert HEADING in page, text
            assert place_in(made, found).replace("&", "&amp;") in page, text
            assert reverse("bundle-file", args=[made.bundle_id, found.place]) in page
    assert not ArtifactRecord.objects.exists()


def test_all_files_of_a_large_manifest_are_indexed_in_order() -> None:
    made, many = rows.bundle(), 2 * index.BATCH + 1
    files = [
        FileEntry(path=path, size=at, sha256=rows.sha(path))
        for at, path in enumerate(["alerts.json", *(f"artifacts/a-{n:05}/x.bin" for n in range(many)), "timeline.json"])
    ]
    index.add(made.bundle_id, files)
    expected = [(made.bundle_id, n + 1, f"a-{n:05}", "x.bin", n + 1, files[n + 1].sha256) for n in range(many)]
    assert indexed() == expected


def test_both_links_of_a_found_artifact_lead_to_that_file_alone() -> None:
    made = bundle("hard")
    found = BundledArtifact.objects.get(artifact_id="hard.b-1")
    client = signed_in("analyst")
    contents = text_of(client.get(place_in(made, found)))
    assert "1 matching; 1 to 1 of 1," in contents
    assert found.sha256[:8] in contents
    answer: Any = client.get(reverse("bundle-file", args=[made.bundle_id, found.place]))
    assert hashlib.sha256(b"".join(answer.streaming_content)).hexdigest() == found.sha256


def test_deleting_a_bundle_deletes_its_artifacts() -> None:
    rows.in_bundle(made := rows.bundle(), "x.bin")
    made.delete()
    assert indexed() == []


def test_it_is_found_by_any_part_of_its_name_by_id_and_by_digest() -> None:
    found = rows.in_bundle(rows.bundle(), "Évil_100%.EXE", "art-7")
    for text in ("évil_100%", "VIL_100", ".exe", "art-7", found.sha256, found.sha256[:6], f"SHA256:{found.sha256}"):
        assert "art-7" in search(text), text
    for text in ("évil%", "évilx100%", "ar", "év", found.sha256[:5]):
        assert "art-7" not in search(text), text


def test_a_path_of_windows_is_found_as_people_write_it() -> None:
    rows.in_bundle(rows.bundle(), "C:%5CUsers%5CBob%5CÉvil.EXE", "art-7")
    for text in ("évil", "c:\\users\\BOB", "C:%5CUsers", "c:\\", "bob\\évil", "users"):
        assert "art-7" in search(text), text


def test_characters_that_a_bundle_escapes_are_found_as_they_are() -> None:
    rows.in_bundle(rows.bundle(), "invoice%E2%80%AEgnp.exe", "art-7")
    assert "art-7" in search("invoice\u202egnp")


def test_hostile_names_are_shown_as_text() -> None:
    rows.in_bundle(rows.bundle(), rows.HOSTILE)
    page = search("<script>alert(1)")
    assert HEADING in page
    assert "<script>alert(1)" not in page
    assert "U+202E" in page


def test_a_single_result_is_shown_without_a_redirect_to_its_bundle() -> None:
    found = rows.in_bundle(rows.bundle(), "once.bin")
    assert HEADING in search("once")
    assert HEADING in search(found.sha256)


def test_a_restored_artifact_that_a_bundle_has_too_is_listed_once() -> None:
    found = rows.in_bundle(rows.bundle(), "twice.bin")
    ArtifactRecord.objects.create(
        incident_id=rows.INCIDENT, artifact_id="a-1", name="twice.bin", size=1, sha256=found.sha256, record="{}"
    )
    page = search(found.sha256)
    assert page.count(HEADING) == 1
    assert "restored here" in page


def test_an_artifact_in_several_bundles_is_listed_once_with_the_newest_bundle() -> None:
    made = [rows.bundle(created_at=f"2026-01-{day:02}T00:00:00Z") for day in (2, 9, 5)]
    for each in made:
        rows.in_bundle(each, "report.docx")
    page = search("report")
    assert "<b>1</b> artifact" in page
    assert [one for one in made if one.name in page] == [made[1]]


def test_more_than_is_read_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MOST_READ", 5)
    made = rows.bundle()
    for number in range(6):
        rows.in_bundle(made, "report.docx", f"b-{number}")
    page = search("report")
    assert "at least <b>5</b> artifacts" in page
    assert "More matches than one search reads" in page


def test_the_state_of_the_bundle_is_shown() -> None:
    partial = rows.bundle(complete=False, missing=[{"source": "alerts", "reason": "down"}])
    rows.in_bundle(partial, "x.bin")
    assert "Partial" in search("x.bin")


def test_a_single_file_is_offered_only_if_it_exists_and_the_role_and_size_allow_it() -> None:
    whole, lost = rows.bundle(), rows.bundle(state="lost")
    for found in (
        rows.in_bundle(lost, "disk.img"),
        rows.in_bundle(whole, "disk.img", size=single_files.LARGEST_BYTES + 1),
    ):
        assert reverse("bundle-file", args=[found.bundle_id, found.place]) not in search("disk")
    found = rows.in_bundle(whole, "disk.img", size=single_files.LARGEST_BYTES)
    address = reverse("bundle-file", args=[found.bundle_id, found.place])
    assert address in search("disk")
    assert address not in search("disk", "viewer")
    assert HEADING in search("disk", "viewer")


def test_someone_without_a_role_finds_nothing() -> None:
    found = rows.in_bundle(rows.bundle(), "secret.txt", "secret-1")
    for text in ("secret.txt", "secret-1", found.sha256):
        assert "Nothing matches" in search(text, "")


def test_every_search_condition_uses_its_index_and_the_page_needs_few_queries() -> None:
    holders = [rows.bundle() for _ in range(20)]
    BundledArtifact.objects.bulk_create(
        BundledArtifact(
            bundle=holders[n % 20], place=n // 20, artifact_id=f"a-{n}", sha256=rows.sha(str(n)), size=n,
            name=f"C:%5C{n}.log" if n % 2 else f"{n}.log",
        )
        for n in range(20_000)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orchestrator_bundle_artifacts")
    client = signed_in("operator")
    digest = rows.sha("7")
    rows.in_bundle(holders[0], digest[:6], "named-so", place=1000)
    with CaptureQueriesContext(connection) as caught:
        page = text_of(client.get(reverse("find"), {"q": digest[:6]}))
    assert "named-so" in page
    assert "a-7" in page
    assert len(caught) <= 12
    [query] = [one for one in caught.captured_queries if "orchestrator_bundle_artifacts" in one["sql"]]
    plan = plan_of(query)
    assert (
        read_whole(json.loads(plan)) - {"orchestrator_bundles", "orchestrator_artifact_records"} == set()
    )  # these are small
    ways = ("by_id", "by_digest", "trigrams")
    assert [way for way in ways if f"bundled_artifact_{way}" not in plan] == []
