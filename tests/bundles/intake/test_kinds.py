"""Kinds of files as their makers document them: shapes, versions and options that the public records do not have."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundles.intake import adapter
from bundles.intake.archives import packed
from bundles.intake.archives.members import ArchiveError, ArchiveLimits
from bundles.intake.delivered import ATTACHMENT, DELIVERED, Delivered
from bundles.intake.formats import kinds
from bundles.intake.formats.kinds import ALERTS, TIMELINE, Taken
from bundles.sources.adapters.protocol import ArtifactRecord
from bundles.sources.faults import ARTIFACTS
from bundles.sources.jsonstream import Refused
from jobs.errors import PermanentError
from tests.bundles.intake.test_formats import (
    CHAINSAW,
    EVE,
    HAYABUSA,
    MISP,
    PLASO,
    SIGMA,
    TRAIL,
    Found,
    lines,
    read,
    shown,
)

ROOT = Path(__file__).resolve().parents[3]
IRIS = {
    "case": {"case_id": 1}, "evidences": [], "iocs": [],
    "timeline": [
        {"event_title": "Logon", "event_date": "2024-01-01T10:00:00", "event_date_wtz": "2024-01-01T12:00:00.000000",
         "event_tz": "+02:00", "category": "Lateral Movement", "assets": ["DC01 (Windows - DC)", "eve (Account)"]},
    ],
}  # fmt: skip
EVTX: dict[str, Any] = {
    "Event": {
        "System": {
            "Provider": {"#attributes": {"Name": "Security-Auditing"}}, "EventID": 4624, "Level": 2,
            "TimeCreated": {"#attributes": {"SystemTime": "2022-01-01T00:00:00.123456Z"}},
            "Channel": "Security", "Computer": "DC01",
        },
        "EventData": {"TargetUserName": "eve"},
    }
}  # fmt: skip
ATTACK_GALAXY = {
    "type": "mitre-attack-pattern",
    "GalaxyCluster": [
        {"value": "Spearphishing Attachment - T1566.001", "meta": {"kill_chain": ["mitre-attack:initial-access"]}},
    ],
}  # fmt: skip


def table(*rows: str) -> bytes:
    return "\r\n".join(rows).encode("utf-8-sig") + b"\r\n"


def csv_of(record: dict[str, str]) -> bytes:
    return table(",".join(record), ",".join(f'"{value}"' for value in record.values()))


def eve(**fields: Any) -> bytes:
    return lines(EVE | fields)


def at(time: str, title: str, severity: str = "unrated", phase: str = "", part: str = TIMELINE) -> Found:
    return part, time, severity, phase, title


@pytest.mark.parametrize(
    ("raw", "kind", "expected"),
    [
        pytest.param(
            eve(alert={"signature": "ET", "severity": 2, "metadata": {"mitre_tactic_id": ["TA0001"]}}),
            "suricata-eve",
            [at("2018-03-24T20:37:19.037299Z", "ET", "medium", "initial-access", ALERTS)],
            id="an alert of Suricata whose rule names a tactic",
        ),
        pytest.param(
            eve(event_type="dns", dns={"queries": [{"rrname": "bad.example", "rrtype": "A"}]}),
            "suricata-eve",
            [at("2018-03-24T20:37:19.037299Z", "Suricata dns bad.example A")],
            id="a question of Suricata 8",
        ),
        pytest.param(
            eve(event_type="http", http={"http_method": "GET", "hostname": "x.example", "url": "/a"}),
            "suricata-eve",
            [at("2018-03-24T20:37:19.037299Z", "Suricata http GET x.example /a")],
            id="a request of Suricata",
        ),
        pytest.param(
            lines(TRAIL | {"eventName": "StopLogging"}, TRAIL | {"eventName": "CreateUser"}),
            "cloudtrail",
            [at("2024-07-30T21:31:21Z", "StopLogging"), at("2024-07-30T21:31:21Z", "CreateUser")],
            id="CloudTrail one record a line",
        ),
        pytest.param(
            json.dumps({"response": [{"Event": MISP}, {"Event": MISP | {"info": "Other", "Object": []}}]}).encode(),
            "misp",
            [
                at("2019-02-20T09:17:56Z", "MISP event: SamSam", "low"),
                at("2018-12-04T11:09:08Z", "Network activity: domain in object", "low"),
                at("2018-12-04T11:09:08Z", "Network activity: domain bad.example", "low"),
                at("2019-02-20T09:17:56Z", "MISP event: Other", "low"),
                at("2018-12-04T11:09:08Z", "Network activity: domain bad.example", "low"),
            ],
            id="the answer of MISP's search, with two events",
        ),
        pytest.param(
            json.dumps([{"Event": {"info": "I", "timestamp": "1550654276", "Galaxy": [ATTACK_GALAXY]}}]).encode(),
            "misp",
            [at("2019-02-20T09:17:56Z", "MISP event: I", phase="initial-access")],
            id="a list of MISP events, one with a galaxy of ATT&CK",
        ),
        pytest.param(
            lines({**PLASO, "timestamp": 0}, {**PLASO, "timestamp": -11644473600000000}),
            "plaso",
            [at("", "Last Access Time: OS:/x"), at("1601-01-01T00:00:00Z", "Last Access Time: OS:/x")],
            id="plaso's times that are not set, and before 1970",
        ),
        pytest.param(
            b"message,datetime,timestamp_desc\nm,2021-01-30,d\n",
            "timesketch",
            [at("2021-01-30T00:00:00Z", "d: m")],
            id="Timesketch with a day alone",
        ),
        pytest.param(
            "\n".join(json.dumps(HAYABUSA | {"Level": one}, indent=4) for one in ("emer", "informational")).encode(),
            "hayabusa",
            [
                at("2021-12-12T04:59:04.648000Z", "Logon", "critical", part=ALERTS),
                at("2021-12-12T04:59:04.648000Z", "Logon", "info", part=ALERTS),
            ],
            id="Hayabusa as JSON, one object after the other on several lines",
        ),
        pytest.param(
            lines(
                HAYABUSA
                | {"Timestamp": "2021-12-12T04:59:04.648Z", "Level": "high", "MitreTactics": ["Lateral Movement"]}
            ),
            "hayabusa",
            [at("2021-12-12T04:59:04.648000Z", "Logon", "high", "lateral-movement", ALERTS)],
            id="Hayabusa with ISO 8601 and full names",
        ),
        pytest.param(
            lines(
                HAYABUSA | {"Timestamp": "Sun, 12 Dec 2021 13:59:04 +09:00"},
                HAYABUSA | {"Timestamp": "12-30-2021 01:59:04.648 PM +09:00"},
                HAYABUSA | {"Timestamp": "11-12-2021 13:59:04.648 +09:00"},
            ),
            "hayabusa",
            [
                at("2021-12-12T04:59:04Z", "Logon", "medium", part=ALERTS),
                at("2021-12-30T04:59:04.648000Z", "Logon", "medium", part=ALERTS),
                at("", "Logon", "medium", part=ALERTS),
            ],
            id="Hayabusa's other formats of times; one that begins with a day or a month is not read",
        ),
        pytest.param(
            csv_of(
                {"datetime": "2021-12-12 13:59:04.648 +09:00", "timestamp_desc": "hayabusa", "message": "Logon",
                 "Level": "crit", "MitreTactics": "Stealth ¦ C2", "RuleID": "r", "EvtxFile": "e"}
            ),
            "hayabusa",
            [at("2021-12-12T04:59:04.648000Z", "Logon", "critical", "defense-evasion", ALERTS)],
            id="Hayabusa in its profile for Timesketch",
        ),
        pytest.param(
            lines(CHAINSAW | {"tags": ["attack.t1003.001", "attack.defense-evasion"], "kind": "aggregate"}),
            "chainsaw",
            [at("2022-01-01T00:00:00Z", "Dump", "critical", "defense-evasion", ALERTS)],
            id="Chainsaw as one line, with the tags of today's Sigma",
        ),
        pytest.param(
            table("timestamp,detections,path,Event ID", "2022-01-01T00:00:00+00:00,One;Two,a.evtx,1"),
            "chainsaw",
            [at("2022-01-01T00:00:00Z", "One;Two", part=ALERTS)],
            id="Chainsaw as CSV",
        ),
        pytest.param(
            table("rule_title;rule_description;rule_level;rule_count;SystemTime", "T;D;low;2;2022-01-01T00:00:00Z"),
            "zircolite-csv",
            [at("2022-01-01T00:00:00Z", "T", "low", part=ALERTS)],
            id="Zircolite as CSV",
        ),
        pytest.param(
            json.dumps(IRIS).encode(),
            "iris-export",
            [at("2024-01-01T10:00:00Z", "Logon", phase="lateral-movement")],
            id="a case of DFIR-IRIS, whose zone stands beside the time",
        ),
        pytest.param(
            json.dumps({"status": "success", "message": "", "data": IRIS}).encode(),
            "iris-export",
            [at("2024-01-01T10:00:00Z", "Logon", phase="lateral-movement")],
            id="a case of DFIR-IRIS as its API answers",
        ),
        pytest.param(
            lines(EVTX, EVTX),
            "evtx-json",
            [at("2022-01-01T00:00:00.123456Z", "Security 4624 Security-Auditing", "high")] * 2,
            id="evtx_dump",
        ),
        pytest.param(
            lines(EVTX),
            "evtx-json",
            [at("2022-01-01T00:00:00.123456Z", "Security 4624 Security-Auditing", "high")],
            id="evtx_dump with one event, which is no event of MISP",
        ),
        pytest.param(
            csv_of(
                {"RecordNumber": "1", "EventRecordId": "1", "TimeCreated": "2022-01-01 00:00:00.1234567",
                 "EventId": "4624", "Level": "Warning", "Provider": "P", "Channel": "Security", "Computer": "DC01",
                 "MapDescription": "Logon"}
            ),
            "evtxecmd",
            [at("2022-01-01T00:00:00.123456Z", "Logon", "medium")],
            id="EvtxECmd",
        ),
        pytest.param(
            csv_of(
                {"EntryNumber": "5", "ParentPath": ".\\Users", "FileName": "a.exe",
                 "Created0x10": "2022-01-01 00:00:00.1", "LastModified0x10": "2022-01-01 00:00:00.1",
                 "LastRecordChange0x10": "2022-01-02 00:00:00.1",
                 "LastAccess0x10": ""}
            ),
            "mftecmd",
            [
                at("2022-01-01T00:00:00.100000Z", "Created, modified: .\\Users\\a.exe"),
                at("2022-01-02T00:00:00.100000Z", "Changed: .\\Users\\a.exe"),
            ],
            id="MFTECmd: an event for each time of an entry that differs",
        ),
        pytest.param(
            csv_of(
                {"Name": "a.exe", "ParentPath": ".\\x", "UpdateSequenceNumber": "1",
                 "UpdateTimestamp": "2022-01-01 00:00:00.1", "UpdateReasons": "FileCreate"}
            ),
            "mftecmd-journal",
            [at("2022-01-01T00:00:00.100000Z", "FileCreate: .\\x\\a.exe")],
            id="MFTECmd's journal",
        ),
        pytest.param(
            csv_of(
                {"ExecutableName": "CMD.EXE", "RunCount": "2", "LastRun": "2022-01-02 00:00:00",
                 "PreviousRun0": "2022-01-01 00:00:00", "PreviousRun1": ""}
            ),
            "pecmd",
            [at("2022-01-02T00:00:00Z", "Executed: CMD.EXE"), at("2022-01-01T00:00:00Z", "Executed: CMD.EXE")],
            id="PECmd: an event for each run",
        ),
        pytest.param(
            b"0|/etc/a|b|12|r/rrw-r--r--|0|0|10|1640995200|1640995200|1640995201.5|0\n0|/x|13|-|0|0|1|0|0|0|0\n",
            "bodyfile",
            [
                at("2022-01-01T00:00:00Z", "Modified, accessed: /etc/a|b"),
                at("2022-01-01T00:00:01.500000Z", "Changed: /etc/a|b"),
                at("", "/x"),
            ],
            id="a body file whose first name has the sign between fields",
        ),
        pytest.param(
            csv_of(
                {"date": "03/04/2021", "time": "05:06:07", "timezone": "UTC", "MACB": "M...", "source": "LOG",
                 "sourcetype": "s", "type": "Modified", "desc": "d"}
            ),
            "l2t-csv",
            [at("2021-03-04T05:06:07Z", "Modified: d")],
            id="log2timeline CSV, whose dates are month, day, year",
        ),
    ],
)  # fmt: skip
def test_what_a_format_documents_is_read(raw, kind, expected):
    name, found = read(raw)
    assert name == kind
    assert [shown(one) for one in found if isinstance(one, Taken)] == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(json.dumps({"Records": [TRAIL | {"eventID": None, "s3": {}}]}).replace('"eventID": null, ', ""),
                     id="a notification of S3"),
        pytest.param(json.dumps({"digestEndTime": "2024-01-01T00:00:00Z", "logFiles": [{"s3Bucket": "b"}]}),
                     id="a digest of CloudTrail"),
        pytest.param(json.dumps({"Event": {"name": "party"}}), id="an event that is of neither MISP nor Windows"),
        pytest.param("a|b|c\n1|2|3\n", id="a table with bars"),
    ],
)  # fmt: skip
def test_what_looks_alike_is_no_such_kind(raw):
    assert read(raw.encode())[0] == ""


def test_hosts_accounts_and_techniques_come_from_the_record_alone():
    taken = [one for one in read(json.dumps(IRIS).encode())[1] if isinstance(one, Taken)]
    assert (taken[0].record["hosts"], taken[0].record["accounts"]) == (["DC01"], ["eve"])
    assert "category_name" not in taken[0].record
    (event,) = read(json.dumps([{"Event": {"info": "I", "Galaxy": [ATTACK_GALAXY]}}]).encode())[1]
    assert isinstance(event, Taken)
    assert event.record["mitre_technique"] == "T1566.001 Spearphishing Attachment"


def test_matches_of_a_rule_are_read_one_by_one_however_many_there_are():
    many = {**SIGMA, "matches": [{"SystemTime": "2022-01-01T00:00:00Z", "text": "x" * 1_000_000}] * 12 + [7]}
    name, found = read(json.dumps([many]).encode())
    assert name == "sigma"
    assert sum(isinstance(one, Taken) for one in found) == 12
    (refused,) = [one for one in found if isinstance(one, Refused)]
    assert refused.why == "a match is not an object"


def test_a_record_that_is_larger_than_what_is_looked_at_is_recognised_by_the_keys_it_begins_with():
    assert read(json.dumps({"Event": {"uuid": "u", **MISP, "blob": "x" * 300_000}}).encode())[0] == "misp"
    assert read(json.dumps([EVE | {"blob": "x" * 300_000}]).encode())[0] == "suricata-eve"


def packed_file(folder, name: str, raw: bytes) -> Delivered:
    folder.mkdir(exist_ok=True)
    (folder / "delivered").write_bytes(raw)
    return Delivered(folder, name)


def test_a_packed_file_of_records_is_read_through_its_packing(tmp_path):
    raw = gzip.compress(lines(EVE, EVE))
    found = packed_file(tmp_path / "one", "eve.json.gz", raw)
    assert (found.container, found.refused, found.members) == ("file", None, [])
    (file,) = found.record_files()
    assert (file.kind.name, len(list(file.kind.records(file.open, file.look)))) == ("suricata-eve", 2)
    assert b"".join(found.open()) == raw


def test_a_packed_file_that_is_cut_off_gives_what_is_in_it_and_says_so(tmp_path):
    whole = gzip.compress(b"\n".join(lines(EVE | {"n": number}) for number in range(40_000)))
    (file,) = packed_file(tmp_path / "cut", "eve.json.gz", whole[: len(whole) // 2]).record_files()
    with pytest.raises(ArchiveError, match="It unpacks to") as caught:
        list(file.kind.records(file.open, file.look))
    assert caught.value.code == "archive_member_damaged"


def test_a_packed_file_that_unpacks_to_too_much_is_stopped_at_the_bound():
    raw = gzip.compress(b"\0" * 4_000_000)
    limits = ArchiveLimits(ratio=10, ratio_from_bytes=2_000_000)
    read_before: list[int] = []
    with pytest.raises(ArchiveError) as caught:
        read_before.extend(len(block) for block in packed.unpacked(iter([raw]), limits))
    assert caught.value.code == "archive_too_large"
    assert 0 < sum(read_before) <= 2_000_000


def test_a_file_that_a_record_of_misp_holds_is_listed_with_its_bytes(tmp_path):
    held = {"type": "attachment", "value": "note.txt", "data": base64.b64encode(b"the note").decode(), "uuid": "u"}
    sample = {"type": "malware-sample", "value": "evil.exe|d41d", "data": "not base64!"}
    raw = json.dumps({"Event": MISP | {"Attribute": [held, sample]}}).encode()
    found = [(one.name, one.content) for one in packed_file(tmp_path / "m", "e.json", raw).attachments()]
    assert found == [("note.txt", b"the note"), ("evil.exe.zip", None)]


def test_the_contents_of_all_attachments_take_one_reading_of_the_file(tmp_path, monkeypatch):
    contents = [bytes([number]) * number for number in range(1, 40)]
    held = [
        {"type": "attachment", "value": f"{len(one)}.bin", "data": base64.b64encode(one).decode()} for one in contents
    ]
    raw = json.dumps({"Event": MISP | {"Attribute": held}}).encode()
    (tmp_path / DELIVERED).write_bytes(raw)
    listed = [
        ArtifactRecord(artifact_id=one.artifact_id, name=one.name, size=None, sha256=None, handle={ATTACHMENT: True})
        for one in Delivered(tmp_path, "e.json").attachments()
    ]
    readings = []
    whole = Delivered.open

    def counted(self: Delivered) -> Iterator[bytes]:
        readings.append(self.name)
        return whole(self)

    monkeypatch.setattr(Delivered, "open", counted)
    with adapter.source(tmp_path, "e.json", sha256=hashlib.sha256(raw).hexdigest()).adapter(ARTIFACTS) as system:
        assert system.content(listed[-1], 0, "").read(100) == contents[-1]
        readings.clear()
        assert [system.content(one, 0, "").read(100) for one in listed] == contents
        assert readings == []
        with pytest.raises(PermanentError, match="cannot be read any more"):
            system.content(replace(listed[0], artifact_id=f"{DELIVERED}-a000001"), 0, "")  # the event itself


def test_every_kind_has_a_name_of_its_own_and_is_documented():
    names = [kind.name for kind in kinds.KINDS]
    assert len(names) == len(set(names))
    headings = [line for line in (ROOT / "docs" / "import.md").read_text().splitlines() if line.startswith("### ")]
    documented = {name for line in headings for name in line.removeprefix("### ").replace("`", "").split(", ")}
    assert documented == {*names, "velociraptor-results", "mapped"}
