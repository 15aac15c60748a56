"""A bundle's page on a real bundle: what was checked, one file opened safely, the signer's key, the range digests."""

from __future__ import annotations

import hashlib
import html
import json
import random
import re
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
from tests.support.bundle_rows import contents, entries, stored
from tests.support.bundle_rows import place_of as place_in
from tests.support.console_evidence import HARD_NAMES, evidence, text_of, verify
from tests.support.console_rows import signed_in
from tests.support.format_builders import signer
from tests.support.main_job import bundle, change_a_byte, path_of

__all__ = ["evidence"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("evidence")]
MOST_QUERIES = 12


def page_of(made: Bundle, name: str = "bundle-page", **more: int) -> str:
    return reverse(name, kwargs={"bundle_id": made.bundle_id, **more})


def plain(answer: Any) -> str:
    """The page's words."""
    return (
        " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text_of(answer))).split()).replace(" .", ".").replace(" ,", ",")
    )


def place_of(made: Bundle, artifact: str) -> int:
    files = json.loads(bytes(made.manifest.raw))["files"]
    return next(place for place, entry in enumerate(files) if entry["path"].startswith(f"artifacts/{artifact}/"))


def test_a_bundle_says_as_of_when_a_source_was_read_and_what_is_to_be_known_of_its_records() -> None:
    made = bundle("plain")
    as_of = {"at": "2026-01-02T03:04:05.000000Z", "records": 1201, "later": 3}
    entry = {"adapter": "a", "adapter_version": "1", "profile": "p", "system": "s", "ref": "plain"}
    notes = [f"note {number} \u202e" for number in range(21)]
    Bundle.objects.update(sources={"alerts": {**entry, "as_of": as_of, "notes": notes}})
    for name in ("bundle-page", "bundle-certificate"):
        text = plain(signed_in("viewer").get(page_of(made, name)))
        assert "Alerts as of 2026-01-02 03:04:05 UTC, when there were 1,201 records; at least 3 came later" in text
        assert "Alerts: note 19" in text
        assert "note 20" not in text
        assert "the manifest has 21 notes in all" in text
        assert "\u202e" not in text


def test_the_verdict_names_each_check_when_by_whom_and_which_key() -> None:
    made = bundle("hard")
    before = text_of(signed_in("viewer").get(page_of(made)))
    assert "Not yet verified" in before
    verify(made)
    text = text_of(signed_in("viewer").get(page_of(made)))
    assert all(words in text for words in STEPS.values())
    assert made.verified_at is not None
    assert made.verified_at.strftime("%Y-%m-%dT%H:%M:%SZ") in text
    assert f'title="{made.key_id}"' in text
    assert "requested by <bdi>system</bdi>" in text
    assert "This server trusts this key" in text
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
    assert "The chain has not been verified yet" in text_of(client.get(page_of(made)))
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
        ("artifacts/a/aux.dat", "_61ux.dat"),
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
    contents(made, files)
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
    assert "Revoked key" in text_of(client.get(page_of(made)))


def test_a_key_that_is_gone_is_not_offered(orch) -> None:
    made, client = bundle("plain"), signed_in("viewer")
    (orch.trusted / "signer.pem").unlink()
    assert "cannot read its trusted keys now" in text_of(client.get(page_of(made)))
    (orch.trusted / "other.pem").write_bytes(signer("other").public_pem)
    assert "No longer trusted here" in text_of(client.get(page_of(made)))
    assert client.get(page_of(made, "bundle-key")).status_code == 410


def test_one_line_says_what_is_in_it_or_what_is_missing() -> None:
    counts = {"events": 1208, "alerts": {"high": 1300, "unrated": 36}, "artifacts": 3}
    gaps = [{"source": "alerts", "reason": "down"}, {"path": "artifacts/a-9/x", "reason": "gone"}]
    for fields, words in (
        ({"counts": counts}, "Complete: 1,208 events, 1,336 alerts, 3 artifacts from 2 hosts, 1.8 MiB"),
        ({"counts": None, "files": 58}, "Complete: 58 files, 1.8 MiB"),
        (
            {"counts": {**counts, "alerts": None}, "complete": False, "missing": gaps},
            "Missing: alerts, 1 file. It contains 1,208 events, 3 artifacts from 2 hosts, 1.8 MiB",
        ),
    ):
        made = rows.bundle(**fields)
        listed = entries(*(f"artifacts/a-{at}/x" for at in range(3)))
        contents(made, listed, host=lambda at: f"host-{at % 2}")
        for name in ("bundle-page", "bundle-certificate"):
            assert words in plain(signed_in("viewer").get(page_of(made, name))), name


def test_the_contents_are_listed_by_name_with_what_the_records_say() -> None:
    names = ("wxyz.evtx", "Über\u202egnp.exe\n", "ж" * 120 + ".bin", "دفتر.txt")
    records = [
        {
            "artifact_id": f"a-{at}", "name": name, "artifact_type": "log" if at % 2 else "memory",
            "source_host": "fin-ws-07" if at else "", "collected_at": "2026-01-15T06:12:44Z" if at else "last week",
        }
        for at, name in enumerate(names)
    ]  # fmt: skip
    made = stored(dict.fromkeys(names, b"x"), records)
    viewer = signed_in("viewer")
    text = text_of(viewer.get(page_of(made)))
    assert "⟨U+202E⟩" in text
    assert "\u202e" not in text
    assert all(said in text for said in ("fin-ws-07", "last week", "2026-01-15 06:12:44 UTC", names[2], names[3]))
    assert "Path and digest" in text
    places = [text.index(f"artifacts/a-{at}/") for at in (0, 1, 2, 3)]
    assert places == sorted(places)  # w, Ü, ж, د
    by_host = text_of(viewer.get(page_of(made), {"host": "fin-ws-07", "kind": "log"}))
    assert [at for at in range(4) if f"artifacts/a-{at}/" in by_host] == [1, 3]
    assert "timeline.json" not in by_host
    assert "2 matching" in by_host
    assert "Nothing in this bundle matches" in text_of(viewer.get(page_of(made), {"host": "nowhere"}))
    assert "Nothing in this bundle matches" in text_of(viewer.get(page_of(made), {"find": "nowhere\x00"}))


def test_a_bundle_of_10_000_files_is_listed_and_filtered_with_few_queries(django_assert_max_num_queries) -> None:
    made = rows.bundle()
    listed = entries(*(f"artifacts/a-{at:05}/{at:05} {'x' * 249}" for at in range(10_000)), "timeline.json")
    contents(made, listed, host=lambda at: f"host-{at % 300:03}", kind=lambda at: f"kind-{at % 3}")
    client = signed_in("operator")
    for query, words in (
        ({}, "1 to 25 of 10,000"),
        ({"from": "9990"}, "9,991 to 10,000 of 10,000"),
        ({"host": "host-007"}, "34 matching"),
        ({"kind": "kind-1", "find": "a-0000"}, "3 matching"),
        ({"from": "99999"}, "There are no more artifacts"),
    ):
        with django_assert_max_num_queries(MOST_QUERIES):
            text = text_of(client.get(page_of(made), query))
        assert words in text, query
    assert text.count("<option") == 2 + 3 + 50


def test_a_filter_offers_no_value_that_a_form_would_change() -> None:
    made = rows.bundle()
    contents(made, entries("artifacts/a/x", "artifacts/b/y"), host=lambda at: ("a\r\nb", "plain")[at])
    text = text_of(signed_in("viewer").get(page_of(made)))
    assert text.count("<option") == 2
    assert "The lists do not offer every value" in text


PREVIEWS: dict[str, tuple[bytes, list[str]]] = {
    "notes.txt": (
        b"first\r\n\tsecond <b>bold</b>\x1b[31m \xe2\x80\xae",
        ["first\n\tsecond &lt;b&gt;", "⟨U+001B⟩", "⟨U+202E⟩"],
    ),
    "a.json": (b'{"a":1.10,"a":[{}]}', ["{\n  &quot;a&quot;: 1.10,\n  &quot;a&quot;: [\n    {}\n  ]\n}"]),
    "t.csv": (b'host,what\r\nx,"<script>\n=cmd()"\r\n', ['<th scope="col"><bdi>host</bdi></th>', "&lt;script&gt;"]),
    "b.html": (b"<!DOCTYPE html><script>alert(1)</script>", ["&lt;!DOCTYPE html&gt;&lt;script&gt;"]),
    "c.bin": (bytes(range(256)), ["This is not text", "00000000  00 01 02", " !&quot;#$%&amp;&#x27;()"]),
    "empty": (b"", ["The file contains no bytes"]),
}


@pytest.mark.parametrize("name", PREVIEWS)
def test_a_preview_shows_a_file_as_characters_only_after_it_matched_and_is_recorded(name: str) -> None:
    content, shown = PREVIEWS[name]
    made = stored({name: content})
    answer = signed_in("analyst").get(page_of(made, "bundle-file-preview", place=place_in(made, "a-0")))
    text = text_of(answer)
    assert [part for part in shown if part not in text] == []
    assert "<script>alert" not in text
    assert not inspect(text).inline
    event = Event.objects.get(action="bundle.open_file")
    assert (event.outcome, json.loads(event.details)["use"]) == ("ok", "preview")
    assert event.digest == hashlib.sha256(content).hexdigest()


def test_nothing_of_a_changed_file_is_previewed_and_a_viewer_may_not_look() -> None:
    made = stored({"noise.bin": random.Random(5).randbytes(200_000), "notes.txt": b"seen"})
    address = page_of(made, "bundle-file-preview", place=place_in(made, "a-0"))
    viewer = signed_in("viewer")
    assert viewer.get(address).status_code == 403
    assert address not in text_of(viewer.get(page_of(made)))
    change_a_byte(path_of(made), made.size // 2)
    answer = signed_in("analyst").get(address)
    assert answer.status_code == 409
    assert "00000000" not in text_of(answer)
    assert Event.objects.get(action="bundle.open_file").outcome != "ok"


def test_the_three_things_to_hand_over_are_in_one_place_two_clicks_from_home() -> None:
    made = bundle("plain")
    analyst = signed_in("analyst")
    assert page_of(made) in text_of(analyst.get(reverse("home")))
    text = text_of(analyst.get(page_of(made)))
    assert 'href="#hand-over"' in text
    section = text.partition('id="hand-over"')[2].partition("</section>")[0]
    for name in ("bundle-download", "bundle-key", "bundle-certificate"):
        assert f'href="{page_of(made, name)}"' in section
    assert "Verify first" in section
    section = text_of(signed_in("viewer").get(page_of(made))).partition('id="hand-over"')[2]
    assert "Downloading it needs the role analyst, operator or admin" in section
    change_a_byte(path_of(made))
    verify(made)
    assert "Do not hand this over" in text_of(analyst.get(page_of(made)))


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
