"""A file is recognised by its content; its records have the times, severities and phases that they say."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.format.model.canonical import canonical_json
from bundles.intake.formats import kinds, shapes
from bundles.intake.formats.kinds import ALERTS, TIMELINE, Taken
from bundles.sources.jsonstream import Refused
from bundles.timelines import reading
from bundles.timelines.times import UNDATED

Found = tuple[str, str, str, str, str]


def pieces(raw: bytes, size: int = 4096) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def read(raw: bytes) -> tuple[str, list[Taken | Refused]]:
    found = shapes.look(raw[: shapes.HEAD_BYTES])
    kind = kinds.recognise(found)
    if kind is None:
        return "", []
    return kind.name, list(kind.records(lambda: iter(pieces(raw)), found))


def shown(taken: Taken) -> Found:
    """Part, time in UTC, severity, phase and title, as the console reads them."""
    record_kind = reading.ALERT if taken.part == ALERTS else reading.EVENT
    point = reading.point_of(taken.record, canonical_json(taken.record).decode(), record_kind)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    time = "" if point.at_us == UNDATED else (epoch + timedelta(microseconds=point.at_us)).isoformat()
    severity = ("unrated", "info", "low", "medium", "high", "critical")[point.severity]
    return taken.part, time.replace("+00:00", "Z"), severity, point.phase, point.what


def lines(*records: Any) -> bytes:
    return b"\n".join(json.dumps(record).encode() for record in records)


EVE = {"timestamp": "2018-03-24T14:37:19.037299-0600", "event_type": "alert", "src_ip": "10.0.0.1", "flow_id": 7}
TRAIL = {"eventVersion": "1.08", "eventTime": "2024-07-30T21:31:21Z", "eventSource": "ec2.amazonaws.com"}
TRAIL["eventID"] = "450230d4-b39e-4a18-a6a0-d07a6e2105cb"
ATTRIBUTE = {"type": "domain", "value": "bad.example", "category": "Network activity", "timestamp": "1543921748"}
MISP = {
    "Object": [{"name": "file", "uuid": "o", "Attribute": [{**ATTRIBUTE, "value": "in object"}]}],
    "info": "SamSam", "threat_level_id": "3", "timestamp": "1550654276", "Attribute": [ATTRIBUTE],
}  # fmt: skip
PLASO = {
    "__container_type__": "event", "data_type": "fs:stat", "timestamp": 1783014480586325,
    "timestamp_desc": "Last Access Time", "message": "OS:/x", "date_time": {"timestamp": 1783014480586325324},
}  # fmt: skip
HAYABUSA = {"Timestamp": "2021-12-12 13:59:04.648 +09:00", "RuleTitle": "Logon", "Level": "med", "Computer": "DC01"}
CHAINSAW = {
    "group": "Sigma", "kind": "individual", "name": "Dump", "timestamp": "2022-01-01T00:00:00Z", "level": "critical",
    "tags": ["attack.credential_access", "attack.t1003"], "document": {"kind": "evtx"},
}  # fmt: skip
SIGMA = {
    "title": "Rule",
    "rule_level": "high",
    "tags": ["attack.execution"],
    "matches": [{"SystemTime": "2022-01-01T00:00:00Z"}],
}


@pytest.mark.parametrize(
    ("raw", "kind", "expected"),
    [
        pytest.param(
            json.dumps(
                [EVE | {"alert": {"signature": "ET SCAN", "severity": 1}}, EVE | {"event_type": "dns"}]
            ).encode(),
            "suricata-eve",
            [
                (ALERTS, "2018-03-24T20:37:19.037299Z", "high", "", "ET SCAN"),
                (TIMELINE, "2018-03-24T20:37:19.037299Z", "unrated", "", "Suricata dns"),
            ],
            id="an eve.json in one array",
        ),
        pytest.param(
            lines(EVE | {"alert": {"signature": "ET", "severity": 3}}) + b"\n",
            "suricata-eve",
            [(ALERTS, "2018-03-24T20:37:19.037299Z", "low", "", "ET")],
            id="an eve.json of one line",
        ),
        pytest.param(
            json.dumps({"Records": [TRAIL | {"eventName": "StopLogging", "errorCode": "AccessDenied"}]}).encode(),
            "cloudtrail",
            [(TIMELINE, "2024-07-30T21:31:21Z", "unrated", "", "StopLogging (AccessDenied)")],
            id="CloudTrail as AWS delivers it",
        ),
        pytest.param(
            json.dumps({"Event": MISP}).encode(),
            "misp",
            [
                (TIMELINE, "2019-02-20T09:17:56Z", "low", "", "MISP event: SamSam"),
                (TIMELINE, "2018-12-04T11:09:08Z", "low", "", "Network activity: domain in object"),
                (TIMELINE, "2018-12-04T11:09:08Z", "low", "", "Network activity: domain bad.example"),
            ],
            id="a MISP event whose threat level comes behind its objects",
        ),
        pytest.param(
            lines(PLASO, PLASO),
            "plaso",
            [(TIMELINE, "2026-07-02T17:48:00.586325Z", "unrated", "", "Last Access Time: OS:/x")] * 2,
            id="plaso",
        ),
        pytest.param(
            b"message,timestamp,datetime,timestamp_desc,event_level,event_identifier\n"
            b'"two\nlines",,2012-03-14 04:17:38.276340+00:00,Created,2,7036\n'
            b"m,1435789661000000, ,Logging,,\n",
            "timesketch",
            [
                (TIMELINE, "2012-03-14T04:17:38.276340Z", "high", "", "Created: two\nlines"),
                (TIMELINE, "2015-07-01T22:27:41Z", "unrated", "", "Logging: m"),
            ],
            id="Timesketch as CSV",
        ),
        pytest.param(
            lines(
                {"message": "m", "timestamp": 123456789, "datetime": "2015-07-24T19:01:01+00:00", "timestamp_desc": "d"}
            ),
            "timesketch",
            [(TIMELINE, "2015-07-24T19:01:01Z", "unrated", "", "d: m")],
            id="Timesketch as lines, whose timestamp disagrees",
        ),
        pytest.param(
            lines(HAYABUSA | {"MitreTactics": ["LatMov", "Unheard"]}),
            "hayabusa",
            [(ALERTS, "2021-12-12T04:59:04.648000Z", "medium", "lateral-movement", "Logon")],
            id="Hayabusa as lines",
        ),
        pytest.param(
            "Timestamp,RuleTitle,Level,MitreTactics\n2021-12-12 13:59:04.648 +09:00,Logon,crit,Exec ¦ C2\n".encode(),
            "hayabusa",
            [(ALERTS, "2021-12-12T04:59:04.648000Z", "critical", "execution", "Logon")],
            id="Hayabusa as CSV",
        ),
        pytest.param(
            json.dumps([CHAINSAW]).encode(),
            "chainsaw",
            [(ALERTS, "2022-01-01T00:00:00Z", "critical", "credential-access", "Dump")],
            id="Chainsaw",
        ),
        pytest.param(
            json.dumps([SIGMA]).encode(),
            "sigma",
            [(ALERTS, "2022-01-01T00:00:00Z", "high", "execution", "Rule")],
            id="matches by rule",
        ),
        pytest.param(
            json.dumps({"case": {}, "timeline": [{"event_title": "t", "event_date": "2024-01-01T00:00:00"}]}).encode(),
            "iris-export",
            [(TIMELINE, "2024-01-01T00:00:00Z", "unrated", "", "t")],
            id="a case of DFIR-IRIS",
        ),
        pytest.param(
            lines({"_ts": 1669082757, "client_time": 1, "level": "DEFAULT", "message": "Selecting\n"}),
            "velociraptor-log",
            [(TIMELINE, "2022-11-22T02:05:57Z", "unrated", "", "Selecting")],
            id="a log of Velociraptor",
        ),
    ],
)
def test_a_file_is_recognised_by_its_content_and_read_as_its_kind_says(raw, kind, expected):
    name, found = read(raw)
    assert name == kind
    assert not [one for one in found if isinstance(one, Refused)]
    assert [shown(one) for one in found if isinstance(one, Taken)] == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"plain text",
        b"MZ\x90\0",
        b'{"a": 1}',
        b"[1, 2]",
        b"a,b\n1,2\n",
        b"\xff\xfe{\0",
        b"[" * 5000,
        b'{"a":' * 5000,
    ],
)
def test_what_is_not_understood_is_no_kind(raw):
    assert read(raw)[0] == ""


def test_a_record_keeps_its_own_fields_and_the_text_of_its_numbers():
    raw = b'{"event_type":"alert","timestamp":"2024-01-01T00:00:00Z","title":"its own","n":1.10,"big":1E400}'
    taken = read(raw)[1][0]
    assert isinstance(taken, Taken)
    assert taken.record["title"] == "its own"
    assert b'"n":1.10' in canonical_json(taken.record)
    assert b'"big":1E400' in canonical_json(taken.record)


@pytest.mark.parametrize("bad", [b'{"a":NaN}', b'{"a":1,"a":2}', b"[]", b'"text"', b'{"a":"\x03"}'])
def test_a_bad_record_is_named_by_its_place_and_the_others_are_read(bad):
    good = lines(EVE)
    kind, found = read(b"\n".join([good, bad, good]))
    assert kind == "suricata-eve"
    assert [isinstance(one, Refused) for one in found] == [False, True, False]
    refused = found[1]
    assert isinstance(refused, Refused)
    assert (refused.position, refused.line) == (2, 2)


def test_a_row_with_too_many_fields_or_bytes_that_are_no_text_is_named_by_its_line():
    raw = b"message,datetime,timestamp_desc\na,2024-01-01,d\nb,2024-01-01,d,more\n\xff,2024-01-01,d\nc,2024-01-01,d\n"
    found = read(raw)[1]
    assert [isinstance(one, Refused) for one in found] == [False, True, True, False]
    assert [one.line for one in found if isinstance(one, Refused)] == [3, 4]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20)


@given(
    table=st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=8),
    size=st.integers(1, 30),
    delimiter=st.sampled_from(",;\t"),
)
def test_every_cell_of_a_csv_comes_out_as_it_went_in(table, size, delimiter):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["one", "two", "two"], *table])
    raw = out.getvalue().encode()
    found = shapes.Look(shape=shapes.CSV, columns=("one", "two", "two"), delimiter=delimiter)
    rows = list(shapes.rows(lambda: iter(pieces(raw, size)), found))
    assert [list(row.record.values()) for row in rows if isinstance(row, shapes.Row)] == table
    assert all(list(row.record) == ["one", "two", "two (2)"] for row in rows if isinstance(row, shapes.Row))


# --- public records, where they are there ---


def public_records() -> Path:
    named = os.environ.get("ORCH_SHARED_CASES")
    return Path(named) if named else Path(__file__).resolve().parents[4] / "shared" / "cases" / "real"


PUBLIC = {
    "suricata-eve/alerts-only.json": ("suricata-eve", 207, {"high": 76, "medium": 82, "low": 49}),
    "cloudtrail/aws.credential-access.ec2-get-password-data.json": ("cloudtrail", 34, {"unrated": 34}),
    "cloudtrail/218007301253_CloudTrail_us-east-1_20230710T1145Z_7xgocspSowgK0Gto.json": (
        "cloudtrail", 29, {"unrated": 29},
    ),
    "misp/mainly_objects_1.json": ("misp", 75, {"low": 75}),
    "misp/to_delete1.json": ("misp", 76, {"low": 76}),
    "plaso/json_line.log": ("plaso", 20, {"unrated": 20}),
    "timesketch/evtx_part.csv": ("timesketch", 13, {"info": 13}),
    "timesketch/large_field_event.jsonl": ("timesketch", 3, {"unrated": 3}),
    "timesketch/sigma_events.jsonl": ("timesketch", 5, {"unrated": 4, "info": 1}),
    "evtx-json/test.jsonl": ("", 0, {}),
}  # fmt: skip


@pytest.mark.skipif(not public_records().is_dir(), reason="the folder of public records is not beside this checkout")
@pytest.mark.parametrize("name", PUBLIC)
def test_public_records_have_the_severities_that_their_publishers_give(name):
    kind, number, severities = PUBLIC[name]
    found = read((public_records() / name).read_bytes())
    assert (found[0], len(found[1])) == (kind, number)
    seen = [shown(one) for one in found[1] if isinstance(one, Taken)]
    assert Counter(severity for _, _, severity, _, _ in seen) == severities
    assert {phase for _, _, _, phase, _ in seen} <= {""}
