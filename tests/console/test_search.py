"""The search: a text that names one thing opens its page; the rest is listed, the evidence by incident."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from foundation.db_session import ANY_PLAN
from incidents.search.question import hex_digits
from incidents.search.search import ROWS_SHOWN
from rehydration.models import ArtifactRecord, RestoredIncident
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]


@pytest.fixture
def analyst() -> Client:
    client = Client()
    client.force_login(rows.user("analyst"))
    return client


def find(client: Client, text: str) -> Any:
    return client.get(reverse("find"), {"q": text})


def told(client: Client, text: str) -> str:
    answer = find(client, text)
    assert answer.status_code == 200
    return str(answer.content.decode())


def artifact(name: str, artifact_id: str = "a-1", **fields: Any) -> ArtifactRecord:
    values = {"incident_id": rows.INCIDENT, "size": 10, "sha256": rows.sha(name), "record": "{}"}
    return ArtifactRecord.objects.create(name=name, artifact_id=artifact_id, **{**values, **fields})


def test_an_id_in_full_goes_to_its_page_however_it_was_copied(analyst):
    job, bundle = rows.job(), rows.bundle()
    page = reverse("bundle-page", args=[bundle.bundle_id])
    digest = bundle.sha256
    ways = {
        str(job.job_id): reverse("job-page", args=[job.job_id]),
        job.job_id.hex.upper(): reverse("job-page", args=[job.job_id]),
        str(bundle.bundle_id): page,
        bundle.name: page,
        f"  {digest} ": page,
        f"sha256:{digest}": page,
        " ".join(digest[start : start + 8] for start in range(0, 64, 8)): page,
        rows.INCIDENT: reverse("incident-page", args=[rows.INCIDENT]),
    }
    for text, address in ways.items():
        assert find(analyst, text)["Location"] == address, text


def test_six_digits_of_an_id_or_digest_are_enough_and_five_are_not(analyst):
    job, bundle = rows.job(), rows.bundle(sha256="abcdef0" + "1" * 57, content_digest="fedcba9" + "2" * 57)
    page = reverse("bundle-page", args=[bundle.bundle_id])
    assert find(analyst, job.job_id.hex[:6])["Location"] == reverse("job-page", args=[job.job_id])
    assert find(analyst, "abcdef")["Location"] == page
    assert find(analyst, "FEDCBA9")["Location"] == page
    assert find(analyst, bundle.bundle_id.hex[:8])["Location"] == page
    assert "Nothing matches" in told(analyst, "abcde")
    assert "Nothing matches" in told(analyst, "abcdee")


def test_several_are_listed_by_kind_with_what_matched(analyst):
    job = rows.job(job_id=UUID("abcdef00-0000-4000-8000-000000000000"), incident_id="case-abcdef")
    first = rows.bundle(sha256="abcdef0" + "1" * 57)
    second = rows.bundle(content_digest="abcdef" + "2" * 58)
    artifact("x.bin", sha256="abcdef" + "3" * 58)
    text = told(analyst, "abcdef")
    for heading in ("Incidents by id", "Jobs", "Bundles"):
        assert f">{heading}</h2>" in text
    for shown in (str(job.job_id), first.name, second.name, "x.bin", "case-<mark>abcdef</mark>"):
        assert shown in text
    for words in ("file digest", "content digest", "its digest matches"):
        assert words in text


def test_what_is_named_in_full_wins_over_what_only_begins_so(analyst):
    rows.job(incident_id="case-1")
    rows.job(incident_id="case-10")
    assert find(analyst, "case-1")["Location"] == reverse("incident-page", args=["case-1"])
    text = told(analyst, "case")
    assert "case-10" in text


def test_an_incident_named_in_full_is_found_behind_any_number_that_contain_it(analyst):
    for number in range(15):
        rows.job(incident_id=f"a{number}-zz")
    rows.job(incident_id="zz")
    assert find(analyst, "zz")["Location"] == reverse("incident-page", args=["zz"])


def test_equal_evidence_in_two_bundles_is_a_choice_and_not_a_guess(analyst):
    one, two = rows.bundle(), rows.bundle()
    text = told(analyst, one.content_digest)
    assert one.name in text
    assert two.name in text


def test_an_artifact_is_found_by_any_part_of_its_name_or_path_by_id_and_by_digest(analyst):
    made = artifact("C:\\Users\\Bob\\Évil_100%.EXE", "art-7")
    for text in ("évil_100%", "VIL_100", "users\\bob", "c:\\users", ".exe", "art-7", made.sha256, made.sha256[:6]):
        page = told(analyst, text)
        assert "restored here" in page, text
        assert reverse("incident-page", args=[rows.INCIDENT]) in page
    for text in ("évil%", "évilx100%", "exe.", "bob\\users", "ar", "xe"):
        assert "Nothing matches" in told(analyst, text), text


def test_a_tool_in_the_names_of_artifacts_is_found_and_no_incident_of_that_name_is_offered(analyst):
    artifact("dump/lsass_MIMIKATZ_x64.dmp")
    page = told(analyst, "mimikatz")
    assert "lsass_<mark>MIMIKATZ</mark>_x64.dmp" in page
    assert "Bundle incident" not in page


def test_a_name_of_four_thousand_characters_is_stored_and_found_by_its_end(analyst):
    artifact("dir/" + "é" * 4000 + "fin")
    assert "restored here" in told(analyst, "éfin")


def test_hostile_names_are_shown_as_text(analyst):
    artifact(rows.HOSTILE)
    text = told(analyst, "<script>alert(1)")
    assert "<script>alert(1)" not in text
    assert "U+202E" in text


def test_matches_are_grouped_by_incident_with_all_counted_and_the_first_shown(analyst):
    for number in range(14):
        artifact("report.docx", f"a-{number:02}")
    artifact("report.pdf", incident_id="case-2")
    text = told(analyst, "report")
    assert text.count("<mark>report</mark>.docx") == ROWS_SHOWN
    assert "<b>14</b> artifacts" in text
    assert text.count("<mark>report</mark>.pdf") == 1
    assert text.count(">Incident <a") == 2


@pytest.mark.parametrize(
    "text", ["", " ", "nothing-like-it", "\x00", "'; DROP TABLE x; --", "%", "_", "\\", "é" * 500, "\u202e"]
)
def test_nothing_found_says_what_can_be_searched(analyst, text):
    page = told(analyst, text)
    assert "You can search for" in page
    assert "at least the first 6 digits" in page


def test_an_id_that_nobody_knows_yet_can_be_bundled_from_there(analyst):
    assert f'{reverse("new-bundle")}?incident_id=case-77"' in told(analyst, "case-77")
    assert "Bundle incident" not in told(analyst, "not an id")


def test_someone_without_a_role_finds_nothing():
    job, bundle = rows.job(), rows.bundle()
    artifact("secret.txt")
    nobody = Client()
    nobody.force_login(rows.user("", "nobody"))
    for text in (str(job.job_id), bundle.sha256, "secret.txt", rows.INCIDENT):
        assert "Nothing matches" in told(nobody, text)


def test_digits_are_told_from_words():
    assert hex_digits("SHA256:AB CD-EF") == "abcdef"
    assert hex_digits("abcde") == hex_digits("abcdefg") == hex_digits("a" * 65) == ""


def plan_of(query: dict[str, str]) -> str:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + query["sql"].removeprefix(ANY_PLAN))
        return json.dumps(cursor.fetchone())


def read_whole(plan: Any) -> set[str]:
    """The tables that a plan reads by a sequential scan."""
    if isinstance(plan, list):
        return set().union(*map(read_whole, plan))
    if not isinstance(plan, dict):
        return set()
    here = {plan["Relation Name"]} if plan.get("Node Type") == "Seq Scan" else set()
    return here | read_whole(list(plan.values()))


def test_every_kind_is_looked_up_through_an_index_and_in_few_queries(analyst):
    RestoredIncident.objects.create(
        incident_id=rows.INCIDENT, restored_at="2026-01-31T12:00:00Z", restored_by="x", bundle_sha256="0" * 64,
        content_digest="0" * 64, signature_checked=True, has_alerts=True, has_artifacts=True,
    )  # fmt: skip
    ArtifactRecord.objects.bulk_create(
        ArtifactRecord(
            incident_id=f"i-{n % 50}", artifact_id=f"a-{n}", name=f"dir/{n}.log", sha256=rows.sha(str(n)), record="{}"
        )
        for n in range(20_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orchestrator_artifact_records")
    with CaptureQueriesContext(
        connection,
    ) as caught:
        told(analyst, "abcdef")
    assert len(caught) <= 12
    [query] = [one for one in caught.captured_queries if "orchestrator_artifact_records" in one["sql"]]
    plan = plan_of(query)
    assert "orchestrator_artifact_records" not in read_whole(json.loads(plan))
    for index in ("artifact_by_id", "artifact_by_digest", "artifact_trigrams"):
        assert index in plan
