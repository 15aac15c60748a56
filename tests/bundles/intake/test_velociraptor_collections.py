"""Collections of Velociraptor: results by artifact, hosts, uploads that disagree, and what other collectors make."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bundles.format.model.records import iter_array, read_timeline
from bundles.intake import layouts
from bundles.intake.delivered import Delivered
from bundles.intake.formats.kinds import ALERTS, TIMELINE, Taken
from tests.bundles.intake.test_formats import lines, shown
from tests.bundles.intake.test_import import bundled, delivered, unpacked

CONTEXT = {
    "session_id": "F.1", "request": {"artifacts": ["Windows.KapeFiles.Targets"]}, "create_time": 1669082757032004800,
}  # fmt: skip
JOURNAL = "\\\\.\\C:\\$Extend\\$UsnJrnl:$J"
STORED = "uploads/ntfs/%5C%5C.%5CC%3A/$Extend/$UsnJrnl%3A$J"
UPLOAD = {
    "Timestamp": "2022-11-22T02:06:02.3631543Z", "vfs_path": JOURNAL, "file_size": 13771763704,
    "uploaded_size": 39612408,
    "_Components": ["uploads", "ntfs", "\\\\.\\C:", "$Extend", "$UsnJrnl:$J"], "Type": "sparse",
}  # fmt: skip
RESULT = {
    "CopiedOnTimestamp": 1669082762, "SourceFile": JOURNAL, "SourceFileSha256": "20" * 32, "FileSize": 13771763704,
}  # fmt: skip


def collection(**more: bytes) -> bytes:
    out = io.BytesIO()
    members = {
        "uploads/": b"",
        STORED: b"journal",
        STORED + ".idx": b"{}",
        "uploads.json": lines(UPLOAD),
        "results/Windows.KapeFiles.Targets%2FUploads.json": lines(RESULT),
        "collection_context.json": json.dumps(CONTEXT, indent=1).encode(),
        "log.json": lines({"_ts": 1669082757, "client_time": 1669082757, "level": "DEFAULT", "message": "Begin\n"}),
        **more,
    }
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def opened(folder: Path, raw: bytes) -> Delivered:
    (folder / "delivered").write_bytes(raw)
    return Delivered(folder, "collection.zip")


def results(folder: Path, member: str, *rows: dict[str, Any], **more: bytes) -> list[Taken]:
    """The records of one result of a collection."""
    found = opened(folder, collection(**{member: lines(*rows), **more}))
    (file,) = [one for one in found.record_files() if one.name == member]
    return [one for one in file.kind.records(file.open, file.look) if isinstance(one, Taken)]


@pytest.mark.parametrize(
    ("member", "row", "expected"),
    [
        (
            "results/Windows.EventLogs.Evtx.json",
            {
                "System": {"Channel": "Security", "EventID": {"Value": 4624}, "Level": 2},
                "TimeCreated": "2022-01-01T00:00:00Z",
            },
            (TIMELINE, "2022-01-01T00:00:00Z", "high", "", "Security 4624"),
        ),
        (
            "results/Custom.Windows.EventLogs.RDPAuth.json",
            {"EventTime": "2022-01-01T00:00:00Z", "Channel": "Security", "EventID": 4624, "Description": "LOGON"},
            (TIMELINE, "2022-01-01T00:00:00Z", "unrated", "", "Security 4624 LOGON"),
        ),
        (
            "results/Windows.Forensics.Usn.json",
            {"Timestamp": "2022-01-01T00:00:00Z", "OSPath": "C:\\a", "Reason": ["FILE_CREATE", "CLOSE"]},
            (TIMELINE, "2022-01-01T00:00:00Z", "unrated", "", "FILE_CREATE, CLOSE: C:\\a"),
        ),
        (
            "results/Windows.Sigma.Rules%2FHits.json",
            {"Timestamp": "2022-01-01T00:00:00Z", "Title": "Dump", "Level": "critical", "Computer": "DC01"},
            (ALERTS, "2022-01-01T00:00:00Z", "critical", "", "Dump"),
        ),
        (
            "results/Generic.Detection.Yara.Glob.json",
            {"OSPath": "C:\\evil.exe", "Rule": "Cobalt", "Mtime": "2022-01-01T00:00:00Z"},
            (ALERTS, "", "unrated", "", "YARA: Cobalt C:\\evil.exe"),
        ),
        (
            "Generic.Client.Info/Users.json",
            {"Name": "test", "LastLogin": "2022-09-26T03:29:54.1789638Z"},
            (TIMELINE, "2022-09-26T03:29:54.178963Z", "unrated", "", "Last login: test"),
        ),
        (
            "results/Windows.Registry.UserAssist.json",
            {"Name": "C:\\a.exe", "User": "eve", "LastExecution": "2022-01-01T00:00:00Z", "NumberOfExecutions": 2},
            (TIMELINE, "2022-01-01T00:00:00Z", "unrated", "", "Executed: C:\\a.exe"),
        ),
    ],
)  # fmt: skip
def test_the_result_of_a_known_artifact_is_read_by_its_mapping(tmp_path, member, row, expected):
    assert [shown(one) for one in results(tmp_path, member, row)] == [expected]


def test_a_row_with_several_times_becomes_an_event_for_each(tmp_path):
    row = {"Executable": "CMD.EXE", "LastRunTimes": ["2022-01-02T00:00:00Z", "2022-01-01T00:00:00Z"]}
    found = results(tmp_path, "results/Windows.Forensics.Prefetch.json", row)
    assert [shown(one)[1] for one in found] == ["2022-01-02T00:00:00Z", "2022-01-01T00:00:00Z"]
    assert {one.row.position for one in found} == {1}


def test_the_result_of_an_artifact_without_a_mapping_is_an_artifact_alone(tmp_path):
    found = opened(tmp_path, collection(**{"results/Custom.Of.Ours.json": lines({"Anything": 1})}))
    assert "results/Custom.Of.Ours.json" not in [file.name for file in found.record_files()]


def test_records_get_the_host_that_the_collection_names_unless_they_name_one(tmp_path):
    named = {"client_info.json": json.dumps({"Hostname": "WS01", "Fqdn": "ws01.lan"}, indent=1).encode()}
    rows: list[dict[str, Any]] = [
        {"EventTime": "2022-01-01T00:00:00Z", "EventID": 1},
        {"EventTime": "2022-01-01", "Computer": "DC01"},
    ]
    found = results(tmp_path, "results/Windows.EventLogs.RDPAuth.json", *rows, **named)
    assert [one.record.get("host") for one in found] == ["WS01", None]


@pytest.mark.django_db
@pytest.mark.usefixtures("orch")
def test_a_collection_that_contradicts_itself_is_taken_and_says_so_of_each_member(tmp_path):
    raw = collection()
    intake = delivered(raw, "Collection-WS01.zip")
    assert intake.preview is not None
    assert intake.preview["described"]["layout"] == "a collection of Velociraptor"
    made = bundled(intake)
    assert made.complete is True
    folder = unpacked(made, tmp_path / "out")
    records = {record["name"]: record for record, _ in iter_array(folder / "artifacts.json")}
    journal = records[JOURNAL]
    assert (journal["size"], journal["stored_name"], journal["sparse"]) == (7, STORED, True)
    assert journal["sha256"] == hashlib.sha256(b"journal").hexdigest()
    assert journal["faults"] == [
        "uploads.json says 39612408 bytes; the member has 7.",
        f"The results state the SHA-256 {'20' * 32} for it; the member has {journal['sha256']}.",
    ]
    assert records["Collection-WS01.zip"]["sha256"] == hashlib.sha256(raw).hexdigest()
    events = [event for event, _ in read_timeline(folder / "timeline.json").events]
    assert [event["title"] for event in events] == [
        f"Uploaded {JOURNAL} (sparse)",
        f"Collected: {JOURNAL}",
        "Collection F.1 Windows.KapeFiles.Targets",
        "Begin",
    ]
    assert str(events[2]["create_time"]) == "1669082757032004800"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["2025-06-21T20_51_50_9968970_CopyLog.csv", "C/$MFT"], "a collection of KAPE"),
        (["2020-11-22T162001_ConsoleLog.txt", "C/Windows/x"], "a collection of KAPE"),
        (["C/$MFT", "C/Windows/System32/config/SAM"], "files of a Windows drive, as CyLR collects them"),
        (["./uac.log", "./live_response/process/ps.txt"], "a collection of UAC"),
        (["uploads.json", "uploads/auto/C%3A/a"], "a collection of Velociraptor"),
        (["uac.log", "notes.txt", "C/readme.txt"], "an archive"),
    ],
)
def test_the_layout_of_an_archive_says_which_collector_it_is_from(names, words):
    assert layouts.words_of("zip", names) == words
