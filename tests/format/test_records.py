"""The data members: records are read back equal and in the documented order, in any layout, from disk or memory."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.format.model.canonical import RECORD_DEPTH
from bundles.format.model.errors import RecordError
from bundles.format.model.limits import Limits
from bundles.format.model.records import (
    ALERT_ORDER,
    ARTIFACT_ORDER,
    RecordSpool,
    canonical_record,
    iter_array,
    read_timeline,
    sort_key,
    write_timeline,
)
from tests.support.format_builders import canonical

TEXT = st.text(st.sampled_from('ab",:[]{}\\\n\r\t\0\x1f\x7f\u2028é😀\ud800\udcff') | st.characters(), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.dictionaries(TEXT | st.sampled_from(["timestamp", "id", "events", "timeline"]), VALUES, max_size=4)
HEADERS = RECORDS.map(lambda header: {key: value for key, value in header.items() if key != "events"})
unhurried = settings(max_examples=80, deadline=None)


def spooled(records: list[dict[str, Any]], folder: Path, order: tuple[str, str] = ALERT_ORDER, **options: Any) -> Path:
    spool = RecordSpool(folder, **options)
    for record in records:
        spool.add(sort_key(record, order), canonical_record(record))
    assert spool.count == len(records)
    out = folder / "array.json"
    assert spool.write_array(out) == out.stat().st_size
    return out


def rank(record: dict[str, Any]) -> tuple[str, str, bytes]:
    return (*sort_key(record, ALERT_ORDER), canonical(record))


@given(records=st.lists(RECORDS, max_size=8), run_bytes=st.sampled_from([0, 500, 1 << 20]))
@unhurried
def test_records_come_back_equal_and_in_order_however_often_they_were_spilled(records, run_bytes):
    with tempfile.TemporaryDirectory() as name:
        out = spooled(records, Path(name), run_bytes=run_bytes)
        found = list(iter_array(out))
        ordered = sorted(records, key=rank)
        assert [line for _, line in found] == [canonical(record) for record in ordered]
        assert [record for record, _ in found] == ordered
        expected = b"[\n" + b",\n".join(map(canonical, ordered)) + b"\n]" if records else b"[]"
        assert out.read_bytes() == expected
        assert json.loads(expected) == ordered
        assert [entry.name for entry in Path(name).iterdir()] == ["array.json"]  # runs have no names


@given(header=HEADERS, events=st.lists(RECORDS, max_size=6))
@unhurried
def test_a_timeline_comes_back_equal_with_its_events_in_the_order_given(header, events):
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "timeline.json"
        assert write_timeline(out, header, map(canonical_record, events)) == out.stat().st_size
        read = read_timeline(out)
        assert read.header == header
        found = list(read.events)
        assert [record for record, _ in found] == events
        assert [line for _, line in found] == [canonical(event) for event in events]
        assert json.loads(out.read_bytes()) == header | {"events": events}
        again = Path(name) / "again.json"
        write_timeline(again, read.header, (line for _, line in found))
        assert again.read_bytes() == out.read_bytes()


@given(
    records=st.lists(RECORDS, max_size=5),
    indent=st.sampled_from([None, 0, 1, 4]),
    ascii_only=st.booleans(),
)
@unhurried
def test_arrays_in_other_layouts_give_the_same_records(records, indent, ascii_only):
    text = json.dumps(records, indent=indent, ensure_ascii=ascii_only)
    if not ascii_only:
        text = "".join(f"\\u{ord(sign):04x}" if "\ud800" <= sign <= "\udfff" else sign for sign in text)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "alerts.json"
        out.write_bytes(text.encode())
        assert [line for _, line in iter_array(out)] == [canonical(record) for record in json.loads(text)]


@given(
    header=HEADERS,
    events=st.lists(RECORDS, max_size=4),
    indent=st.sampled_from([None, 0, 2]),
    enveloped=st.booleans(),
)
@unhurried
def test_timelines_in_other_layouts_and_in_an_envelope_are_the_same_timeline(header, events, indent, enveloped):
    whole: dict[str, Any] = {"events": events} | header
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "timeline.json"
        out.write_text(json.dumps({"timeline": whole} if enveloped else whole, indent=indent), encoding="utf-8")
        read = read_timeline(out)
        assert read.header == header
        assert [line for _, line in read.events] == [canonical(event) for event in events]


def test_a_timeline_without_events_has_none(tmp_path):
    (tmp_path / "t").write_bytes(b'{"incident_id": "i"}')
    read = read_timeline(tmp_path / "t")
    assert (read.header, list(read.events)) == ({"incident_id": "i"}, [])


def test_many_runs_are_merged_by_the_texts_of_both_fields(tmp_path):
    records: list[dict[str, Any]] = [{"timestamp": f"t{n * 7 % 50:02}", "id": str(n)} for n in range(500)]
    records += [{"timestamp": 5, "id": "z"}, {"timestamp": None, "id": "b"}, {"id": "a"}, {"timestamp": "é"}, {}]
    lines = [record for record, _ in iter_array(spooled(records[::-1], tmp_path, run_bytes=4000))]
    assert lines[:4] == [{}, {"id": "a"}, {"timestamp": None, "id": "b"}, {"timestamp": 5, "id": "z"}]
    assert lines[-1] == {"timestamp": "é"}
    assert lines[4:8] == [{"timestamp": "t00", "id": text} for text in ("0", "100", "150", "200")]  # text, not number
    assert lines == sorted(records, key=rank)


def test_artifacts_stand_by_the_time_of_their_collection_then_by_id(tmp_path):
    records = [
        {"collected_at": "2026-02", "artifact_id": "a"},
        {"collected_at": "2026-01", "artifact_id": "b", "timestamp": "9"},
        {"collected_at": "2026-01", "artifact_id": "a", "timestamp": "9"},
        {"artifact_id": "z"},
    ]
    found = [record for record, _ in iter_array(spooled(records, tmp_path, ARTIFACT_ORDER))]
    assert found == [records[3], records[2], records[1], records[0]]


def test_equal_records_are_kept_as_often_as_they_were_given(tmp_path):
    record = {"timestamp": "t", "id": "1"}
    assert [found for found, _ in iter_array(spooled([record] * 3, tmp_path, run_bytes=0))] == [record] * 3


def test_floats_are_written_in_their_shortest_form(tmp_path):
    record = {"a": 0.1, "b": 1e300, "c": 5e-324, "d": -0.0, "e": 1.0, "f": 2**60}
    assert canonical_record(record) == b'{"a":0.1,"b":1e+300,"c":5e-324,"d":-0.0,"e":1.0,"f":1152921504606846976}'
    (found, line) = next(iter_array(spooled([record], tmp_path)))
    assert (found, line) == (record, canonical_record(record))
    assert math.copysign(1, found["d"]) == -1


def nested(depth: int) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for _ in range(depth - 1):
        record = {"a": record}
    return record


@pytest.mark.parametrize(
    "record",
    [{"x": math.nan}, {"x": [math.inf]}, {"x": -math.inf}, nested(RECORD_DEPTH + 1), {"x": object()}, {"x": b"bytes"}],
)
def test_what_is_not_json_is_no_record(record, tmp_path):
    with pytest.raises(RecordError) as refusal:
        canonical_record(record)
    assert refusal.value.code == "record_invalid"
    with pytest.raises(RecordError):
        write_timeline(tmp_path / "t", record, [])


def test_a_record_may_nest_64_deep(tmp_path):
    assert next(iter_array(spooled([nested(RECORD_DEPTH)], tmp_path)))[0] == nested(RECORD_DEPTH)


def test_an_array_or_timeline_is_never_written_over_another_file(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        RecordSpool(tmp_path).write_array(tmp_path / "mine")
    with pytest.raises(FileExistsError):
        write_timeline(tmp_path / "mine", {}, [])
    assert (tmp_path / "mine").read_bytes() == b"mine"


BROKEN_RECORDS = [
    b"", b" ", b"[", b"]", b"[\n", b"[\n]x", b"{}", b"null", b"7", b'"text"', b"[1]", b"[\n1\n]", b"[[]]", b"[null]",
    b"[\n{}\n]\n{}", b"[\n{},\n]", b"[\n{},\n{}", b"[\n{}\n{}\n]", b"[\n{},\n{\n]", b"[\n{},\n1\n]",
    b"[\n{},,\n{}\n]", b"[\n,\n{}\n]", b"[\n{}\n],\n]", b'[\n{"a":1,"a":2}\n]', b'[\n{},\n{"a":1,"a":2}\n]',
    b'[\n{"x":NaN}\n]', b'[\n{},\n{"x":Infinity}\n]', b'[\n{"x":01}\n]', b'[\n{"x":"\xff"}\n]',
    b"\xef\xbb\xbf[\n{}\n]", b"[\n{}\n]\0", b"[\r\n{}\r\n", b"[" * 100_000, b'{"a":' * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN_RECORDS, ids=lambda content: repr(content[:30]))
def test_what_is_not_an_array_of_objects_is_refused(content, tmp_path):
    (tmp_path / "alerts.json").write_bytes(content)
    with pytest.raises(RecordError):
        list(iter_array(tmp_path / "alerts.json"))


BROKEN_TIMELINES = [
    b"", b"{", b"[]", b"[\n{}\n]", b"null", b'{"events":7}', b'{"events":{}}', b'{"events":[1]}', b'{"events":[\n1\n]}',
    b'{"events":[\n{}\n]', b'{"events":[\n{},\n]}', b'{"events":[\n{}\n{}\n]}', b'{"events":[\n{}\n]}\n]}',
    b'{"events":[\n{}\n],"events":[]}', b'{"a":1,"events":[\n{}\n],"a":2}', b'{"events":[\n{}\n],"x":NaN}',
    b'{"events":[\n{"x":NaN}\n]}', b'{"events":[\n{"a":1,"a":2}\n]}', b'{"events":[\n{}\n]}x',
    b'{"timeline":{"events":1}}',
    b'{"a":"events":[\n{}\n]}', b'{"events":[\n{},\n{"x":"\xff"}\n]}', b'{"x":' * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN_TIMELINES, ids=lambda content: repr(content[:30]))
def test_what_is_not_a_timeline_is_refused(content, tmp_path):
    (tmp_path / "timeline.json").write_bytes(content)
    with pytest.raises(RecordError):
        list(read_timeline(tmp_path / "timeline.json").events)


def test_foreign_layouts_and_records_are_bounded(tmp_path):
    small = Limits(whole_json_bytes=1000, record_bytes=100)
    by_lines = tmp_path / "lines"
    by_lines.write_bytes(b"[\n" + b",\n".join([b'{"a":"' + b"x" * 80 + b'"}'] * 100) + b"\n]")
    assert len(list(iter_array(by_lines, small))) == 100
    for name, content in {
        "pretty": b"[ " + b",".join([b"{}"] * 1000) + b"]",
        "long": b'[\n{},\n{"a":"' + b"x" * 2000 + b'"}\n]',
        "long-first": b'[\n{"a":"' + b"x" * 2000 + b'"}\n]',
        "long-timeline": b'{"events":[\n{},\n{"a":"' + b"x" * 2000 + b'"}\n]}',
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RecordError):
            list(
                read_timeline(tmp_path / name, small).events
                if "timeline" in name
                else iter_array(tmp_path / name, small)
            )
