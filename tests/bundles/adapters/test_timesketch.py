"""The adapter of Timesketch against a server that speaks its wire."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from bundles.format.model.records import RecordSpool, read_timeline
from bundles.sources import faults, members
from bundles.sources.adapters.timesketch.adapter import TimesketchAdapter
from bundles.sources.limits import DEFAULT_LIMITS
from bundles.sources.live import LiveSource
from bundles.sources.profiles import Credential, Profile, System
from jobs.errors import PermanentError, RetryableError
from tests.support.timesketch_server import (
    OTHER_SKETCH,
    PASSWORD,
    SKETCH,
    USER,
    TimesketchServer,
    comment,
    event,
)
from tests.support.upstreams import gaps

INCIDENT = "case-7"


class ForgetfulSessions(dict[str, Any]):
    """Sessions of a server that forgets each one as soon as its first page was sent."""

    def get(self, key, default=None):
        return self.pop(key, default)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "tls").mkdir()
    with TimesketchServer(tmp_path / "tls") as running:
        yield running


@pytest.fixture
def system(server, tmp_path):
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return System(
        name="ts",
        adapter="timesketch",
        url=server.url,
        timeout_s=10,
        ca_file=server.certificate,
        credential=Credential(kind="basic", secret_file=tmp_path / "password", name=USER),
    )


@pytest.fixture
def collect(system, tmp_path):
    def run(*, allow_partial=False, ref=str(SKETCH), system=system, **limits):
        staging = tmp_path / "staging"
        staging.mkdir()
        profile = Profile(name="eu", systems={faults.TIMELINE: system})
        source = LiveSource(
            profile=profile, storage=staging, refs={"ts": ref}, limits=replace(DEFAULT_LIMITS, **limits)
        )
        nothing = lambda *_: None  # noqa: E731 -- a name for what both hooks do
        return source.collect(INCIDENT, staging, allow_partial=allow_partial, on_progress=nothing, check=nothing)

    return run


def events_of(evidence):
    return [event for event, _ in read_timeline(evidence.members["timeline.json"]).events]


def test_it_signs_in_and_reads_every_event_with_all_fields_in_the_order_of_time(server, collect):
    server.events[0]["xml_string"] = "<Event/>"
    evidence = collect()
    assert events_of(evidence) == sorted(server.events, key=lambda event: event["timestamp"])
    assert evidence.counts == {"events": 3}
    assert gaps(evidence) == []
    provenance = evidence.provenance["timeline"]
    assert provenance["url"] == f"{server.url}/api/v1/sketches/{SKETCH}/exportstream/"
    assert (provenance["adapter"], provenance["ref"], provenance["record_count"]) == ("timesketch", "42", 3)
    assert "notes" not in provenance
    assert "as_of" not in provenance


def test_the_header_has_the_sketch_its_attributes_and_its_stories(server, collect):
    header = read_timeline(collect().members["timeline.json"]).header
    assert header["incident_id"] == INCIDENT
    assert header["sketch"]["description"] == "Ransom"
    assert header["sketch_meta"]["attributes"]["ticket"]["values"] == ["INC-7"]
    assert "aggregators" not in header["sketch_meta"]
    assert header["stories"][0]["title"] == "How they came in"


def test_stars_labels_and_comments_are_kept(server, collect):
    server.events = [
        event(1, "__ts_star", "lateral"),
        event(2, "__ts_comment"),
        event(3, "__ts_comment", timesketch_comments="a field of the evidence"),
        event(4, "__ts_comment", sketch=OTHER_SKETCH),
    ]
    server.comments = {"doc-2": [comment(1, "first seen here"), comment(2, "yes")], "doc-3": [comment(3, "and here")]}
    found = events_of(collect())
    assert [label["name"] for label in found[0]["timesketch_label"]] == ["__ts_star", "lateral"]
    assert found[1]["timesketch_comments"] == server.comments["doc-2"]
    assert found[2]["timesketch_comments"] == "a field of the evidence"
    assert found[2]["timesketch_comments_"] == server.comments["doc-3"]
    assert "timesketch_comments" not in found[3], "the comment is of another sketch"


def test_the_password_is_sent_with_the_form_only(server, collect):
    evidence = collect()
    assert not [heads for heads in server.heads if "Authorization" in heads]
    assert PASSWORD not in json.dumps(evidence.provenance, ensure_ascii=False)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"knows_form": False}, faults.INVALID, "no CSRF token"),
        ({"lets_in": False}, faults.REJECTED, "single sign-on"),
        ({"sessions": ForgetfulSessions()}, faults.REJECTED, "refused the CSRF token"),
        ({"state": "archived"}, faults.REJECTED, "the sketch is archived"),
        ({"has_stream": False}, faults.REJECTED, "Timesketch 20251219 or later"),
    ],
    ids=["no token", "single sign-on only", "token refused", "archived", "an old release"],
)
def test_what_keeps_it_from_reading_is_one_clear_line(server, collect, changes, code, words):
    for name, value in changes.items():
        setattr(server, name, value)
    with pytest.raises(PermanentError, match=words) as raised:
        collect()
    assert raised.value.code == code


def test_a_wrong_password_is_refused_in_words_that_do_not_repeat_it(server, collect, tmp_path):
    (tmp_path / "password").write_text("not this one")
    with pytest.raises(PermanentError, match="refused the user or the password") as raised:
        collect()
    assert "not this one" not in str(raised.value)
    assert not [asked for asked in server.asked if "/api/" in asked]


def test_a_certificate_that_is_not_trusted_is_refused_before_the_password_is_sent(server, system, collect):
    with pytest.raises(PermanentError, match="certificate"):
        collect(system=replace(system, ca_file=None))
    assert server.asked == []


def test_a_proxy_that_signs_in_needs_no_password_form(server, system, collect, tmp_path):
    (tmp_path / "assertion").write_text("yes")
    credential = Credential(kind="header", secret_file=tmp_path / "assertion", name="X-Signed-In-By-Proxy")
    evidence = collect(system=replace(system, credential=credential, options={"sign_in": "proxy"}))
    assert evidence.counts == {"events": 3}
    assert not [asked for asked in server.asked if asked.startswith("POST /login/")]


def test_a_proxy_that_does_not_sign_in_is_named(system, collect):
    with pytest.raises(PermanentError, match="the proxy before it did not sign in"):
        collect(system=replace(system, credential=None, options={"sign_in": "proxy"}))


@pytest.mark.parametrize("ref", ["9", "INC-7", "../../login", "42/../9"])
def test_an_unknown_sketch_is_said_to_be_unknown(collect, ref):
    with pytest.raises(PermanentError) as raised:
        collect(ref=ref)
    assert raised.value.code == faults.UNKNOWN


def test_events_that_are_added_while_it_reads_are_stated(server, collect):
    server.counts = [3, 5]
    evidence = collect()
    assert evidence.counts == {"events": 3}
    assert gaps(evidence) == []
    provenance = evidence.provenance["timeline"]
    assert (provenance["as_of"]["records"], provenance["as_of"]["later"]) == (3, 2)
    assert "changed while it was read: 3 events before, 5 after, 3 exported" in provenance["notes"][0]


def test_events_that_are_removed_while_it_reads_are_stated(server, collect):
    server.counts = [5, 3]
    provenance = collect().provenance["timeline"]
    assert "5 events before, 3 after, 3 exported" in provenance["notes"][0]
    assert "as_of" not in provenance, "nothing came later"


def test_a_stream_that_ends_early_like_a_whole_one_is_noticed_by_the_count(server, collect):
    server.counts = [9]
    with pytest.raises(RetryableError, match="ended after 3 of 9 events"):
        collect()


@pytest.mark.parametrize("counts", [[0], [0, 3], [3, 0]])
def test_a_count_of_none_is_not_believed_where_there_are_events(server, collect, counts):
    server.counts = counts
    with pytest.raises(RetryableError, match="it counts no events, and has some"):
        collect()


def test_neither_a_count_nor_a_stream_without_events_is_believed_if_the_sketch_says_otherwise(server, collect):
    server.stats = {"7": {"count": 3}}
    server.counts, server.lines = [0], []
    with pytest.raises(RetryableError, match="it counts no events, and has some"):
        collect()


@pytest.mark.parametrize("half", [b"", b'{"message": "Logi'], ids=["between events", "within an event"])
def test_a_cut_stream_can_be_tried_again_or_is_kept_in_part(server, collect, half, tmp_path):
    server.lines = [*(json.dumps(event(number, "__ts_comment")).encode() + b"\n" for number in (2, 1)), half or b"\n"]
    server.cut = True
    with pytest.raises(RetryableError, match="broke off half-way"):
        collect()
    (tmp_path / "staging").rename(tmp_path / "first")
    evidence = collect(allow_partial=True)
    assert [found["_id"] for found in events_of(evidence)] == ["doc-1", "doc-2"]
    reasons = [gap["reason"] for gap in gaps(evidence)]
    assert any("comments on 2 events" in reason for reason in reasons)
    assert any("broke off half-way" in reason for reason in reasons)


BAD = {
    "NaN": (b'{"_id": "doc-9", "score": NaN}', "NaN is not JSON"),
    "the same key twice": (b'{"_id": "doc-9", "a": 1, "a": 2}', "the same key twice"),
    "not UTF-8": (b'{"_id": "doc-9", "a": "\xff"}', "not UTF-8"),
    "half of one": (b'{"_id": "doc-9", ', "not JSON at character"),
    "no object": (b'"doc-9"', "not an object"),
    "too large": (b'{"a": "' + b"x" * 5000 + b'"}', "larger than 4096 bytes"),
}


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_event_is_named_and_left_out_or_ends_the_job(server, collect, bad, tmp_path):
    line, reason = BAD[bad]
    good = [json.dumps(event).encode() for event in server.events]
    server.lines = [b"\n".join([good[0], line, *good[1:]]) + b"\n"]
    server.counts = [4]
    with pytest.raises(PermanentError, match="record 2") as raised:
        collect(record_bytes=4096)
    assert reason in str(raised.value)
    (tmp_path / "staging").rename(tmp_path / "first")
    evidence = collect(allow_partial=True, record_bytes=4096)
    assert evidence.counts == {"events": 3}
    assert len(gaps(evidence)) == 1
    assert "record 2" in gaps(evidence)[0]["reason"]


def test_timelines_that_cannot_be_read_are_stated(server, collect, tmp_path):
    server.timelines = {"plaso": "ready", "broken\n": "fail", "old": "archived"}
    evidence = collect()
    notes = evidence.provenance["timeline"]["notes"]
    assert notes == ["Timelines of the sketch that have no events to read: broken%0A (fail), old (archived)."]
    assert gaps(evidence) == []
    (tmp_path / "staging").rename(tmp_path / "first")
    server.timelines = {"plaso": "ready", "being read": "processing"}
    with pytest.raises(RetryableError, match=r"still being imported.*: being read \(processing\)"):
        collect()
    (tmp_path / "staging").rename(tmp_path / "second")
    evidence = collect(allow_partial=True)
    assert evidence.counts == {"events": 3}
    assert "still being imported" in gaps(evidence)[0]["reason"]


def test_a_sketch_without_timelines_has_no_events(server, collect):
    server.timelines = {}
    assert events_of(collect()) == []
    assert not [asked for asked in server.asked if "exportstream" in asked]


def test_it_lists_sketches_page_by_page(server, system):
    server.sketches = 120
    with TimesketchAdapter(system, faults.TIMELINE, DEFAULT_LIMITS) as adapter:
        listed = adapter.incidents(110)
    assert [one.ref for one in listed] == [str(number) for number in range(1, 111)]
    assert listed[0].title == "Sketch 1"
    assert len([asked for asked in server.asked if "per_page=50" in asked]) == 3


def test_a_list_of_sketches_without_an_end_is_left(server, system):
    server.rows = [None]
    with TimesketchAdapter(system, faults.TIMELINE, DEFAULT_LIMITS) as adapter:
        assert adapter.incidents(110) == []


@pytest.mark.parametrize("count", [-1, 10**30, True, "3", None])
def test_a_count_that_is_none_is_refused(server, collect, count):
    server.counts = [count]
    with pytest.raises(PermanentError, match="does not say how many events"):
        collect()


def test_it_offers_a_count_without_reading(server, system):
    server.timelines = {"plaso": "ready", "broken": "fail"}
    with TimesketchAdapter(system, faults.TIMELINE, DEFAULT_LIMITS) as adapter:
        offer = adapter.offer(str(SKETCH))
    assert offer.records == 3
    assert "broken (fail)" in offer.detail
    assert not [asked for asked in server.asked if "exportstream" in asked]


def test_wrong_settings_are_found_without_asking(system):
    assert TimesketchAdapter.faults_of(system) == []
    wrong = replace(system, credential=None, options={"sketch": 1, "sign_in": "form"})
    assert [fault.partition(":")[0] for fault in TimesketchAdapter.faults_of(wrong)] == ["options.sketch", "basic"]
    assert TimesketchAdapter.faults_of(replace(system, options={"sign_in": "magic"}))[0].startswith("options.sign_in")


def test_memory_does_not_grow_with_the_number_of_events(server, collect, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "RecordSpool", partial(RecordSpool, run_bytes=64 * 1024))
    peaks = []
    for number in (500, 5_000):
        server.lines = (json.dumps(event(n, message="x" * 1000)).encode() + b"\n" for n in range(number))
        server.counts = [number]
        tracemalloc.start()
        assert collect().counts == {"events": number}
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        (tmp_path / "staging").rename(tmp_path / f"staging-{number}")
    assert peaks[1] < peaks[0] + 2 * 1024 * 1024, "the other 4,500 events have 5 MB"
