"""A record that cannot be bundled is named by file, record, field, line and byte; what is JSON is kept as it is."""

from __future__ import annotations

import codecs
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.format.model import json_faults
from bundles.format.model.canonical import strict_loads
from bundles.format.model.errors import CannotWriteError
from bundles.format.model.limits import MIB
from bundles.format.writing.folder import folder_payloads

NEWLINE = b"\n"
TIMELINE = b'{"incident_id":"n","events":[]}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder laid out as the incident `n`, with one good alert."""
    made = tmp_path / "n"
    (made / "artifacts").mkdir(parents=True)
    (made / "timeline.json").write_bytes(TIMELINE)
    (made / "alerts.json").write_bytes(b'[{"id":"a"}]')
    return made


def staged(folder: Path) -> Path:
    staging = folder.parent / "staging"
    staging.mkdir()
    folder_payloads(folder, "n", staging, any_folder=False)
    return staging


def refusal(folder: Path) -> str:
    with pytest.raises(CannotWriteError) as caught:
        staged(folder)
    assert caught.value.code == "input_invalid"
    return caught.value.detail


def test_numbers_are_kept_that_no_double_can_hold(folder):
    (folder / "alerts.json").write_bytes(b'[ {"id":"a","n":1E400,"v":1.10,"ts":1486215887.584922537} ]')
    found = (staged(folder) / "alerts.json").read_bytes()
    assert found == b'[\n{"id":"a","n":1E400,"ts":1486215887.584922537,"v":1.10}\n]'


@pytest.mark.parametrize("by_lines", [False, True], ids=["in one piece", "by lines"])
def test_a_byte_order_mark_is_read(by_lines, folder):
    alerts = b'[\n{"id":"a"},\n{"id":"b"}\n]' if by_lines else b'[{"id":"a"}, {"id":"b"}]'
    timeline = b'{"events":[\n{"id":"e"}\n],"incident_id":"n"}' if by_lines else b'{"events":[{"id":"e"}]}'
    (folder / "alerts.json").write_bytes(codecs.BOM_UTF8 + alerts)
    (folder / "timeline.json").write_bytes(codecs.BOM_UTF8 + timeline)
    (folder / "artifacts.json").write_bytes(codecs.BOM_UTF8 + b"[]")
    made = staged(folder)
    assert (made / "alerts.json").read_bytes() == b'[\n{"id":"a"},\n{"id":"b"}\n]'
    assert json.loads((made / "timeline.json").read_bytes())["events"] == [{"id": "e"}]


@pytest.mark.parametrize("member", ["timeline.json", "alerts.json"])
@pytest.mark.parametrize("between", [b"\n", b" ", b"\n\n"])
def test_of_several_documents_the_line_of_the_second_is_named(member, between, folder):
    first = b'{\n"timestamp":"2026-01-01T00:00:00Z"}'
    (folder / member).write_bytes(first + between + b'{"timestamp":"2026-01-01T00:00:01Z"}\n')
    named = refusal(folder)
    assert member in named
    where = f"(line {first.count(NEWLINE) + between.count(NEWLINE) + 1}, byte {len(first + between)})"
    assert f"more than one JSON document; the second begins here {where}" in named


BAD_RECORDS = {
    "NaN": (b'{"id":"s1","score":NaN}', "NaN", "score", "NaN is not JSON"),
    "a control character": (b'{"id":"s1","t":"a\x03b"}', "\x03", "t", "U+0003"),
    "no UTF-8": (b'{"id":"s1","t":["x","\xed\xa0\x80"]}', "\xed\xa0\x80", "t[1]", "not UTF-8: ED"),
    "a key twice": (b'{"id":"s1","r":{"tls":{"s":1,"s":2}}}', '"s":2', "r.tls.s", "this key twice"),
    "a number with a leading zero": (b'{"id":"s1","n":012}', "012", "n", "not JSON"),
    "too deep": (
        b'{"id":"s1","d":' + b'{"a":' * 262 + b"1" + b"}" * 263,
        '{"a":' * 7 + "1",
        "d.a.a.a",
        "more than 256",
    ),
    "an unknown escape": (b'{"id":"s1","t":"\\x"}', "\\x", "t", "an escape"),
}


@pytest.mark.parametrize("by_lines", [False, True], ids=["in one piece", "by lines"])
@pytest.mark.parametrize("case", BAD_RECORDS)
def test_a_bad_record_is_named_by_file_position_id_field_line_and_byte(case, by_lines, folder):
    record, at, field, reason = BAD_RECORDS[case]
    rows = [b'{"id":"a","\xc3\xa9":1}', record, b'{"id":"c"}']
    whole = b"[\n" + b",\n".join(rows) + b"\n]" if by_lines else b" [ " + b"\n, ".join(rows) + b"]"
    (folder / "alerts.json").write_bytes(whole)
    named = refusal(folder)
    offset = whole.index(at.encode("latin-1"), whole.index(record))
    line = whole[:offset].count(b"\n") + 1
    assert named.startswith(f"alerts.json: record 2 (id 's1'), field '{field}")
    assert reason in named
    assert named.partition(f"(line {line}, byte {offset})")[1]
    assert "--any" in named


@pytest.mark.parametrize("by_lines", [False, True], ids=["in one piece", "by lines"])
def test_an_event_and_an_artifact_are_named_in_the_same_way(by_lines, folder):
    lead = b"\n" if by_lines else b" "
    (folder / "timeline.json").write_bytes(b'{"events":[' + lead + b'{"id":"e1","x":-Infinity}' + lead + b"]}")
    assert refusal(folder).startswith("timeline.json: record 1 (id 'e1'), field 'x': -Infinity is not JSON (line ")
    (folder / "timeline.json").write_bytes(TIMELINE)
    (folder.parent / "staging").rename(folder.parent / "old")
    (folder / "artifacts.json").write_bytes(b'[{"artifact_id":7,"x":]')
    assert refusal(folder).startswith("artifacts.json: record 1 (id '7'), field 'x': ']' is not JSON here (line 1, ")


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        (b"", "the file is empty (line 1, byte 0)"),
        (b"[{}, 7]", "record 2: a record is not an object (line 1, byte 5)"),
        (b"[\n{},\n7\n]", "record 2: a record is not an object (line 3, byte 6)"),
        (b'[{"id":"a"}', "record 1 (id 'a'): the document ends too early (line 1, byte 11)"),
        (b'[{"id":"a', "record 1, field 'id': the file ends within a text that begins here (line 1, byte 7)"),
        ('[{"id":"a"}]'.encode("utf-16"), "it is UTF-16 or UTF-32, not UTF-8"),
        ("[]".encode("utf-16-le"), "it is UTF-16 or UTF-32, not UTF-8"),
        (b"{}", "alerts.json is not an array"),
        (b"[]]", "something follows the end of the document (line 1, byte 2)"),
    ],
)
def test_what_is_no_array_of_records_is_explained(alerts, said, folder):
    (folder / "alerts.json").write_bytes(alerts)
    assert said in refusal(folder)


def test_a_record_that_no_reader_would_take_is_refused_by_its_bound(folder):
    large = b'{"id":"s1","t":"' + b"x" * (64 * MIB) + b'"}'
    (folder / "alerts.json").write_bytes(b'[{"id":"a"}, ' + large + b"]")
    assert refusal(folder).startswith("alerts.json, record 2 (id 's1'), is larger than 64 MiB")


def test_an_artifact_record_without_its_file_is_named_by_position_and_id(folder):
    (folder / "artifacts.json").write_bytes(b'[{"artifact_id":"here"},{"artifact_id":"gone"}]')
    (folder / "artifacts/here").mkdir()
    (folder / "artifacts/here/a").write_bytes(b"x")
    assert "artifacts.json, record 2 (id 'gone')" in refusal(folder)


@given(
    raw=st.text(st.sampled_from('{}[]",:0129.eE+-\\untrfalsN \n\té\ud800\x00'), max_size=30).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)
@settings(max_examples=400, deadline=None)
def test_a_fault_is_found_in_exactly_the_documents_that_are_not_strict_json(raw):
    """Of a document as it is, and of one in whose second record it is a value."""
    in_a_record = b'[{},{"k":' + raw + b"}]"
    cases: list[tuple[bytes, list[list[str]]]] = [(raw, []), (in_a_record, [[]])]
    for document, records_at in cases:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "alerts.json"
            path.write_bytes(document)
            fault = json_faults.first_fault(path, records_at=records_at, id_field="id")
        try:
            whole = strict_loads(document, floats=True)
        except ValueError:
            assert fault is not None
            assert 0 <= fault.offset <= len(document)
            assert fault.line == document[: fault.offset].count(b"\n") + 1
        else:
            odd = bool(records_at) and not all(isinstance(record, dict) for record in whole)  # as `1},7,{"k":1`
            assert (fault is not None) == odd
