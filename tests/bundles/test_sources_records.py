"""One bad record among many: found, named by its place, and left out alone where a partial bundle is allowed."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.format.model.records import iter_array, read_timeline
from bundles.sources.jsonstream import EndedEarlyError, JsonLines, JsonStream, MalformedError, Refused
from bundles.sources.refusals import NAMED
from jobs.errors import PermanentError
from tests.support.misbehaving import BAD, BOUND, good, listed, sends
from tests.support.upstreams import INCIDENT, Upstreams, artifact_record, small_incident, timeline

MIB = 1024 * 1024
SERVICE_OF = {"timeline": "killchain", "alerts": "db", "artifacts": "forensic"}

faults = st.lists(st.none() | st.sampled_from(sorted(BAD)), max_size=12)


@pytest.fixture
def upstreams(tmp_path):
    with Upstreams([small_incident(tmp_path / "data")]) as running:
        yield running


@pytest.fixture
def staging(tmp_path):
    made = tmp_path / "staging"
    made.mkdir()
    return made


def in_steps(raw: bytes, step: int) -> Iterator[bytes]:
    return (raw[at : at + step] for at in range(0, len(raw), step))


def in_two(raw: bytes, at: int) -> Iterator[bytes]:
    return iter([piece for piece in (raw[:at], raw[at:]) if piece])


def rows_of(pieces: Iterator[bytes]) -> list[Any]:
    stream, found = JsonStream(pieces), []
    for _ in stream.members():
        found = list(stream.records(BOUND, ids=("id",)))
    stream.end()
    return found


def lines_of(pieces: Iterator[bytes]) -> list[Any]:
    return list(JsonLines(pieces).records(BOUND, ids=("id",)))


def made(wrong: list[str | None]) -> list[bytes]:
    return [BAD[name][0](number) if name else good(number) for number, name in enumerate(wrong, 1)]


def check(found: list[Any], wrong: list[str | None], raw: bytes, records: list[bytes]) -> None:
    """Exactly the good records are there, and each bad one is named by its position, id, field and place."""
    assert len(found) == len(wrong)
    start = 0
    for position, (one, name, record) in enumerate(zip(found, wrong, records, strict=True), 1):
        start = raw.index(record, start)
        if name is None:
            assert one["n"] == position
            continue
        _, field, reason = BAD[name]
        assert isinstance(one, Refused)
        assert (one.position, one.record_id, one.field) == (position, f"r{position}", field)
        assert reason in one.reason
        assert start <= one.offset < start + len(record)
        start += len(record)


@settings(max_examples=60, deadline=None)
@given(wrong=faults, step=st.sampled_from([1, 2, 7, 64, 1000, 100_000]), bom=st.booleans())
def test_of_any_list_exactly_the_good_records_are_read_and_each_bad_one_is_named(wrong, step, bom):
    records = made(wrong)
    raw = (b"\xef\xbb\xbf" if bom else b"") + listed("rows", records)
    check(rows_of(in_steps(raw, step)), wrong, raw, records)


@settings(max_examples=60, deadline=None)
@given(wrong=faults, step=st.sampled_from([1, 2, 7, 64, 1000, 100_000]), end=st.sampled_from([b"", b"\n", b"\r\n\n"]))
def test_of_any_lines_exactly_the_good_records_are_read_and_each_bad_one_is_named(wrong, step, end):
    records = made(wrong)
    raw = b"\n".join(records) + end
    found = lines_of(in_steps(raw, step))
    check(found, wrong, raw, records)
    assert [one.line for one in found if isinstance(one, Refused)] == [
        position for position, name in enumerate(wrong, 1) if name
    ]


@pytest.mark.parametrize("read", [rows_of, lines_of])
def test_an_answer_split_at_any_byte_gives_the_same(read: Callable[[Iterator[bytes]], list[Any]]):
    wrong = [None, *sorted(BAD), None]
    raw = listed("rows", made(wrong)) if read is rows_of else b"\n".join(made(wrong))
    whole = read(iter([raw]))
    for at in range(len(raw)):
        assert read(in_two(raw, at)) == whole


def test_the_place_of_a_fault_is_its_byte_and_its_line():
    raw = '{"rows": [\n{"é": "ü"},\n  {"id": 5, "x": "ä\x03"}\n]}'.encode()
    [_, refused] = rows_of(iter([raw]))
    assert (refused.offset, refused.line, refused.record_id, refused.field) == (raw.index(b"\x03"), 3, 5, "x")


def test_a_line_that_is_no_single_record_is_refused_alone():
    found = lines_of(iter([b'{"n":1} {"n":2}\n[1,\n2]\n{"n":4}']))
    shown = [one if isinstance(one, dict) else (one.position, one.line) for one in found]
    assert shown == [(1, 1), (2, 2), (3, 3), {"n": 4}]


def test_a_record_far_beyond_its_bound_is_skipped_in_little_memory():
    def endless() -> Iterator[bytes]:
        yield b'{"rows":[{"id":"s1","eml":"'
        for _ in range(300):
            yield b'\\"]},' * (MIB // 5)
        yield b'"},' + good(2) + b"]}"

    stream = JsonStream(endless())
    next(stream.members())
    tracemalloc.start()
    first, second = stream.records(MIB, ids=("id",))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (first.position, first.record_id, second["n"]) == (1, "s1", 2)
    assert peak_bytes < 20 * MIB


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"rows":[{"a":[1}},{"n":2}]}', "brackets"),
        (b'{"rows":[{"a":1},,{"n":2}]}', "byte 17"),
        (b'{"rows":[{"a":1} {"n":2}]}', "byte 17"),
        ('{"rows":[]}'.encode("utf-16"), "UTF-16"),
        ('{"rows":[]}'.encode("utf-16-be"), "UTF-16"),
    ],
)
def test_a_list_whose_records_cannot_be_told_apart_is_refused_whole(raw, reason):
    for step in (1, 1000):
        with pytest.raises(MalformedError, match=reason) as raised:
            rows_of(in_steps(raw, step))
        assert not isinstance(raised.value, EndedEarlyError)


def test_a_list_that_ends_within_a_bad_record_was_cut_off():
    raw = listed("rows", [good(1), BAD["NaN"][0](2)])
    for cut in range(len(raw) - 20, len(raw)):
        with pytest.raises(EndedEarlyError):
            rows_of(iter([raw[:cut]]))


# ---- the three services


def event(number: int, **changes: Any) -> bytes:
    return json.dumps({"id": f"r{number}", "n": number} | changes).encode()


def record_of(number: int, **changes: Any) -> bytes:
    return json.dumps(artifact_record(f"r{number}", "n.bin", b"", n=number) | changes).encode()


def answer(source: str, records: list[bytes]) -> bytes:
    if source == "timeline":
        header = {key: value for key, value in timeline(event_count=len(records)).items() if key != "events"}
        return listed("events", records, **header)
    return listed(source, records, total=len(records))


def collected(evidence: Any, source: str) -> list[int]:
    member = evidence.members[f"{source}.json"]
    rows = read_timeline(member).events if source == "timeline" else iter_array(member)
    return [record["n"] for record, _ in rows]


# Faults that a reader finds in a record that is JSON: source → field → the changed record.
UNUSABLE: dict[str, dict[str, bytes]] = {
    "timeline": {"": b"[1]"},
    "alerts": {
        "": b"7",
        "id": event(2, id=None),
        "correlation_id": event(2, correlation_id={"x": 1}),
    },
    "artifacts": {
        "": b"null",
        "artifact_id": record_of(2, artifact_id=1.5),
        "incident_id": record_of(2, incident_id="another"),
        "name": record_of(2, name=""),
        "size": record_of(2, size=None),
        "sha256": record_of(2, sha256=None),
    },
}


@pytest.mark.parametrize("source", SERVICE_OF)
def test_one_bad_record_of_a_service_is_named_and_only_it_is_left_out_of_a_partial_bundle(upstreams, staging, source):
    make = record_of if source == "artifacts" else event
    bad = {name: (make_bad(2), field) for name, (make_bad, field, _) in BAD.items()}
    bad |= {f"unusable {field}": (record, field) for field, record in UNUSABLE[source].items()}
    for number, (name, (record, field)) in enumerate(bad.items()):
        upstreams.answers[SERVICE_OF[source]] = sends(answer(source, [make(1), record, make(3)]))
        with pytest.raises(PermanentError, match=r" 2[ ,].*byte \d+, was refused: .*partial bundle") as raised:
            upstreams.collect(staging, record_bytes=BOUND)
        assert (raised.value.code, f"field {field}:" in str(raised.value)) == ("source_invalid", bool(field)), name
        place = staging / str(number)
        place.mkdir()
        evidence = upstreams.collect(place, record_bytes=BOUND, allow_partial=True)
        assert collected(evidence, source) == [1, 3], name
        [gap] = evidence.missing
        assert (gap["source"], " 2" in gap["reason"], field in gap["reason"]) == (source, True, True)
        assert evidence.provenance[source]["record_count"] == 2
        for left in staging.iterdir():
            if left.is_file():
                left.unlink()


@pytest.mark.parametrize("source", SERVICE_OF)
def test_many_bad_records_are_named_up_to_a_bound_and_the_others_counted(upstreams, staging, source):
    make = record_of if source == "artifacts" else event
    records = [make(number) if number % 2 else BAD["NaN"][0](number) for number in range(1, 2 * NAMED + 12)]
    upstreams.answers[SERVICE_OF[source]] = sends(answer(source, records))
    evidence = upstreams.collect(staging, record_bytes=BOUND, allow_partial=True, page_records=1000)
    assert len(collected(evidence, source)) == NAMED + 6
    assert len(evidence.missing) == NAMED + 1
    assert f"5 more {'events' if source == 'timeline' else ''}" in evidence.missing[-1]["reason"]


def test_a_source_of_bad_records_only_does_not_make_a_bundle_alone(upstreams, staging):
    for source, service in SERVICE_OF.items():
        upstreams.answers[service] = sends(answer(source, [BAD["NaN"][0](1)]))
    with pytest.raises(PermanentError, match="NaN"):
        upstreams.collect(staging, allow_partial=True)


def test_bad_alerts_on_several_pages_have_their_position_in_the_list_and_their_byte_in_the_page(upstreams, staging):
    rows = [BAD["NaN"][0](n) if n in {5, 14} else event(n) for n in range(1, 26)]

    def page(exchange: Any) -> bool:
        query = json.loads(exchange.body)
        body = listed("alerts", rows[query["offset"] : query["offset"] + query["limit"]], total=len(rows))
        return sends(body)(exchange)

    upstreams.answers["db"] = page
    evidence = upstreams.collect(staging, page_records=10, allow_partial=True)
    assert sorted(collected(evidence, "alerts")) == [n for n in range(1, 26) if n not in {5, 14}]
    reasons = [gap["reason"] for gap in evidence.missing]
    assert len(reasons) == 2
    assert "alert 5 (id r5), byte" in reasons[0]
    assert "alert 14 (id r14), byte" in reasons[1]
    assert "of the answer that begins with alert 11" in reasons[1]


def test_a_byte_order_mark_is_read_and_utf16_is_named(upstreams, staging):
    upstreams.answers["killchain"] = sends(b"\xef\xbb\xbf" + answer("timeline", [event(1)]))
    assert collected(upstreams.collect(staging), "timeline") == [1]
    upstreams.answers["killchain"] = sends(answer("timeline", [event(1)]).decode().encode("utf-16"))
    place = staging / "other"
    place.mkdir()
    with pytest.raises(PermanentError, match="UTF-16"):
        upstreams.collect(place)


def test_a_fault_beside_the_records_is_located(upstreams, staging):
    body = b'{"incident_id": "' + INCIDENT.encode() + b'",\n "score": {"a": NaN}, "events": []}'
    upstreams.answers["killchain"] = sends(body)
    with pytest.raises(PermanentError, match=rf"field a: NaN is not JSON \(byte {body.index(b'NaN')}, line 2\)"):
        upstreams.collect(staging)


def test_a_tree_of_120_processes_is_taken_and_an_event_count_of_null_says_nothing(upstreams, staging):
    tree: dict[str, Any] = {"pid": 0}
    for pid in range(1, 120):
        tree = {"pid": pid, "children": [tree]}
    body = listed("events", [event(1, tree=tree)], incident_id=INCIDENT, event_count=None)
    upstreams.answers["killchain"] = sends(body)
    assert collected(upstreams.collect(staging), "timeline") == [1]


ODD_IDS = [
    "~40964304", 42, "42", "...", "a/b", "x" * 300, "/subscriptions/0/ids", "no-break\N{NO-BREAK SPACE}space",
    "id-" + "0" * 64,
]  # fmt: skip


def address_of(artifact_id: object) -> int:
    """The number of the file that a service has at the URL of this id; 42 and "42" have one URL."""
    return next(number for number, one in enumerate(ODD_IDS) if str(one) == str(artifact_id))


def test_an_artifact_has_any_id_its_file_a_path_of_its_own_and_the_record_the_true_id(upstreams, staging):
    records = [
        artifact_record("x", f"{number}.bin", b"%d" % address_of(one)) | {"artifact_id": one, "filepath": "none"}
        for number, one in enumerate(ODD_IDS)
    ]
    asked: list[str] = []

    def service(exchange: Any) -> bool:
        if not exchange.path.endswith("/content"):
            return sends(json.dumps({"artifacts": records}).encode())(exchange)
        asked.append(unquote(exchange.path.removeprefix("/api/v1/artifacts/").removesuffix("/content")))
        body = b"%d" % address_of(asked[-1])
        exchange.send_head(200, len(body), "application/octet-stream")
        exchange.wfile.write(body)
        return True

    upstreams.answers["forensic"] = service
    evidence = upstreams.collect(staging)
    kept = [record["artifact_id"] for record, _ in iter_array(evidence.members["artifacts.json"])]
    assert sorted(map(repr, kept)) == sorted(map(repr, ODD_IDS))
    places = [one.artifact_id for one in evidence.artifacts]
    assert len(set(places)) == len(ODD_IDS)
    assert "id-" + hashlib.sha256(b'"~40964304"').hexdigest() in places
    assert "id-" + hashlib.sha256(b"42").hexdigest() in places
    assert "42" in places
    for artifact in evidence.artifacts:
        with artifact.open() as file:
            assert hashlib.sha256(file.read()).hexdigest() == artifact.sha256
    assert "~40964304" in asked
    assert "a/b" in asked
