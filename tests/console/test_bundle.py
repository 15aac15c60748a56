"""A bundle's page on a real bundle: what was checked, one file opened safely, the signer's key, the range digests."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from django.urls import reverse

from bundles import file_matching
from bundles.artifacts import single_files
from bundles.format.model.errors import STEPS
from bundles.format.reading.ranges import LARGEST_BYTES, MOST_RANGES, SMALLEST_BYTES, RangeHash, range_bytes
from bundles.models import Bundle, Manifest, RangeDigests
from custody.models import Event
from tests.console.test_pages import inspect
from tests.support import console_rows as rows
from tests.support.console_evidence import HARD_NAMES, evidence, signed_in, text_of, verify
from tests.support.format_builders import signer
from tests.support.main_job import bundle, change_a_byte, path_of

__all__ = ["evidence"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("evidence")]
MOST_QUERIES = 12


def page_of(made: Bundle, name: str = "bundle-page", **more: int) -> str:
    return reverse(name, kwargs={"bundle_id": made.bundle_id, **more})


def place_of(made: Bundle, artifact: str) -> int:
    files = json.loads(bytes(made.manifest.raw))["files"]
    return next(place for place, entry in enumerate(files) if entry["path"].startswith(f"artifacts/{artifact}/"))


def test_the_verdict_names_each_check_when_by_whom_and_which_key() -> None:
    made = bundle("hard")
    before = text_of(signed_in("viewer").get(page_of(made)))
    assert "Not verified yet" in before
    verify(made)
    text = text_of(signed_in("viewer").get(page_of(made)))
    assert all(words in text for words in STEPS.values())
    assert made.verified_at is not None
    assert made.verified_at.strftime("%Y-%m-%dT%H:%M:%SZ") in text
    assert f'title="{made.key_id}"' in text
    assert "by <bdi>system</bdi>" in text
    assert "a key that is trusted here" in text
    assert not inspect(text).inline


def test_the_page_needs_few_queries(django_assert_max_num_queries) -> None:
    made = bundle("hard")
    verify(made)
    client = signed_in("operator")
    with django_assert_max_num_queries(MOST_QUERIES):
        client.get(page_of(made))
    with django_assert_max_num_queries(MOST_QUERIES):
        client.get(page_of(made, "bundle-certificate"))


def test_custody_tells_whether_and_how_far_the_chain_was_verified() -> None:
    made, client = bundle("plain"), signed_in("operator")
    assert "the chain has not been verified yet" in text_of(client.get(page_of(made)))
    client.post(reverse("custody-page"))
    assert "Chain verified" in text_of(client.get(page_of(made)))


@pytest.mark.parametrize("key", sorted(HARD_NAMES))
def test_one_file_is_opened_as_a_download_and_nothing_else(key: str) -> None:
    made = bundle("hard")
    answer: Any = signed_in("analyst").get(page_of(made, "bundle-file", place=place_of(made, f"hard.{key}")))
    content = b"".join(answer.streaming_content)
    assert content == HARD_NAMES[key][1]
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Length"] == str(len(content))
    assert answer["Content-Disposition"].startswith("attachment; filename")
    assert not set("\r\n\u202e") & set(answer["Content-Disposition"])
    event = Event.objects.filter(action="bundle.open_file").first()
    assert event is not None
    assert (event.object_id, event.outcome) == (str(made.bundle_id), "ok")
    assert event.digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("artifacts/a/../../etc/passwd", "passwd"),
        ("artifacts/a/..", "_2E_2E"),
        ("artifacts/a/.htaccess", "htaccess"),
        ('artifacts/a/<b>"x"|?*:.lnk', "_b__x_____.lnk"),
        ("artifacts/a/evil\r\nSet-Cookie: x", "evil_0D_0ASet-Cookie_ x"),
        ("artifacts/a/ ", "file"),
    ],
)
def test_the_name_that_a_browser_is_offered_is_safe_on_any_system(path: str, name: str) -> None:
    assert single_files.saved_name(path) == name


def test_a_name_beyond_ascii_is_offered_as_it_is() -> None:
    made = bundle("hard")
    answer = signed_in("analyst").get(page_of(made, "bundle-file", place=place_of(made, "hard.b-3")))
    answer.close()
    assert quote("ímynd með bili \U0001f600 _E2_80_AEgnp.exe") in answer["Content-Disposition"]


def test_nothing_of_a_file_that_was_changed_is_sent() -> None:
    made = bundle("hard")
    change_a_byte(path_of(made), made.size // 2)  # in the largest file, which random bytes keep from shrinking
    client = signed_in("analyst")
    answer = client.get(page_of(made, "bundle-file", place=place_of(made, "hard.b-1")))
    assert not answer.streaming
    assert answer.status_code == 409
    assert "Nothing was sent" in text_of(answer)
    assert "damaged or altered" in text_of(answer)
    event = Event.objects.filter(action="bundle.open_file").first()
    assert event is not None
    assert event.outcome != "ok"
    assert event.outcome in text_of(answer)


def test_a_file_of_another_bundle_in_its_place_is_not_sent() -> None:
    made, other = bundle("plain"), bundle("plain")
    path_of(made).write_bytes(path_of(other).read_bytes())
    answer = signed_in("analyst").get(page_of(made, "bundle-file", place=place_of(made, "plain.c-2")))
    assert (answer.streaming, answer.status_code) == (False, 410)


def test_who_may_not_download_may_not_open_either() -> None:
    made, viewer = bundle("plain"), signed_in("viewer")
    assert viewer.get(page_of(made, "bundle-file", place=0)).status_code == 403
    assert page_of(made, "bundle-file", place=0) not in text_of(viewer.get(page_of(made)))
    assert not Event.objects.filter(action="bundle.open_file").exists()


def test_what_cannot_be_opened_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    made, client = bundle("plain"), signed_in("analyst")
    assert client.get(page_of(made, "bundle-file", place=99)).status_code == 404
    monkeypatch.setattr(single_files, "LARGEST_BYTES", 1000)
    answer = client.get(page_of(made, "bundle-file", place=place_of(made, "plain.c-1")))
    assert answer.status_code == 413
    assert "download the bundle" in text_of(answer)
    assert page_of(made, "bundle-file", place=place_of(made, "plain.c-1")) not in text_of(client.get(page_of(made)))


def test_a_search_keeps_each_files_own_place() -> None:
    made = bundle("hard")
    text = text_of(signed_in("analyst").get(page_of(made), {"find": "PLAIN.bin"}))
    assert "1 matching" in text
    assert page_of(made, "bundle-file", place=place_of(made, "hard.b-1")) in text


def test_the_chunks_of_a_large_file_are_listed(orch) -> None:
    made = rows.bundle()
    digests = [rows.sha(str(index)) for index in range(60)]
    chunks = [{"index": at, "offset": at * 10, "size": 10, "sha256": sha} for at, sha in enumerate(digests)]
    files = [{"path": "artifacts/a/disk.img", "size": 600, "sha256": rows.sha("disk"), "chunks": chunks}]
    Manifest.objects.create(bundle=made, raw=json.dumps({"files": files}).encode())
    text = text_of(signed_in("viewer").get(page_of(made))).replace(" ", "")
    assert "60chunks" in text
    assert digests[49] in text
    assert digests[50] not in text
    assert reverse("api-bundle-manifest", args=[made.bundle_id]) in text


def test_the_signers_public_key_is_offered_and_its_standing_shown(orch) -> None:
    made, client = bundle("plain"), signed_in("viewer")
    answer = client.get(page_of(made, "bundle-key"))
    assert answer.content == (orch.trusted / "signer.pem").read_bytes()
    assert f"orchestrator_key_{made.key_id[:16]}.pem" in answer["Content-Disposition"]
    (orch.trusted / "revoked").mkdir()
    (orch.trusted / "signer.pem").rename(orch.trusted / "revoked" / "signer.pem")
    assert "revoked key" in text_of(client.get(page_of(made)))


def test_a_key_that_is_gone_is_not_offered(orch) -> None:
    made, client = bundle("plain"), signed_in("viewer")
    (orch.trusted / "signer.pem").unlink()
    assert "the trusted keys cannot be read now" in text_of(client.get(page_of(made)))
    (orch.trusted / "other.pem").write_bytes(signer("other").public_pem)
    assert "no longer trusted here" in text_of(client.get(page_of(made)))
    assert client.get(page_of(made, "bundle-key")).status_code == 410


@pytest.mark.parametrize("name", ["bundle-page", "bundle-certificate"])
def test_a_partial_bundle_warns_on_page_and_certificate(name: str) -> None:
    gap = [{"source": "artifacts", "reason": f"answered 503 {rows.HOSTILE}"}]
    made = rows.bundle(complete=False, missing=gap)
    Manifest.objects.create(bundle=made, raw=b'{"files":[]}')
    rows.verification(made)
    text = text_of(signed_in("viewer").get(page_of(made, name)))
    assert "Verified, but partial" in text
    assert "answered 503" in text
    assert "<script>alert(1)" not in text
    assert "\u202e" not in text


def ranges_of(path, size: int) -> bytes:
    raw, length = path.read_bytes(), range_bytes(size)
    return b"".join(hashlib.sha256(raw[at : at + length]).digest() for at in range(0, len(raw), length))


def test_a_bundle_has_the_digests_of_its_ranges_from_the_moment_it_is_there() -> None:
    made = bundle("hard")
    kept = RangeDigests.objects.get(bundle=made)
    assert len(kept.digests) > 32 * 3
    assert bytes(kept.digests) == ranges_of(path_of(made), made.size)
    assert kept.root == hashlib.sha256(kept.digests).hexdigest()


def test_a_verification_gives_them_to_a_bundle_that_has_none_but_only_if_it_holds() -> None:
    made = bundle("hard")
    RangeDigests.objects.all().delete()
    whole = path_of(made).read_bytes()
    change_a_byte(path_of(made))
    verify(made)
    assert not Bundle.objects.get().verified_ok
    assert not RangeDigests.objects.exists()
    path_of(made).write_bytes(whole)
    verify(made)
    assert Bundle.objects.get().verified_ok
    assert bytes(RangeDigests.objects.get().digests) == ranges_of(path_of(made), made.size)


@pytest.mark.parametrize("size", [0, 1, SMALLEST_BYTES, SMALLEST_BYTES + 1, 3 * SMALLEST_BYTES])
def test_ranges_are_cut_alike_however_the_bytes_arrive(size: int) -> None:
    raw = bytes(range(256)) * (size // 256 + 1)
    raw = raw[:size]
    one, many = RangeHash(size), RangeHash(size)
    one.update(raw)
    for at in range(0, size, 1000):
        many.update(raw[at : at + 1000])
    expected = b"".join(hashlib.sha256(raw[at : at + SMALLEST_BYTES]).digest() for at in range(0, size, SMALLEST_BYTES))
    assert one.hexdigest() == many.hexdigest() == expected.hex()


def test_the_length_of_a_range_follows_from_the_size_alone() -> None:
    assert range_bytes(1) == SMALLEST_BYTES
    assert range_bytes(MOST_RANGES * SMALLEST_BYTES) == SMALLEST_BYTES
    assert range_bytes(MOST_RANGES * SMALLEST_BYTES + 1) == 2 * SMALLEST_BYTES
    assert range_bytes(2**50) == LARGEST_BYTES


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "has not verified that bundle since"),
        ({"verified_ok": True}, "last verified that bundle at 2026-01-31 12:00:41 UTC, signed by the key"),
        ({"verified_ok": False}, "failed its last check"),
        ({"verified_ok": False, "state": "lost"}, "Our own copy is lost"),
    ],
)
def test_what_a_match_proves_depends_on_what_was_checked_here(fields, words: str) -> None:
    if fields:
        fields["verified_at"] = datetime(2026, 1, 31, 12, 0, 41, tzinfo=UTC)
    assert words in file_matching.copy_status(rows.bundle(**fields))
