"""The adapter dfir-iris against a server that speaks the wire of IRIS, in three generations."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundles.format.model.records import iter_array, read_timeline
from bundles.format.reading.verify import verify_bundle
from bundles.sources.adapters import registry
from bundles.sources.adapters.dfir_iris.adapter import DfirIrisAdapter
from bundles.sources.collect import Evidence
from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE
from bundles.sources.limits import DEFAULT_LIMITS
from bundles.sources.live import LiveSource
from bundles.sources.profiles import Credential, Profile, System
from bundles.timelines import severities, times
from bundles.timelines.reading import ALERT, ARTIFACT, EVENT, Point, point_of
from jobs.errors import CancelledError, PermanentError, RetryableError
from tests.support import dfir_iris_server as served
from tests.support import format_builders
from tests.support.certificates import Authority
from tests.support.dfir_iris_server import BETA, CASE, KEY, NEWEST, OLDER, Handler, IrisServer
from tests.support.upstreams import gaps

INCIDENT = "INC-2026-7"
RELEASES = (OLDER, BETA, NEWEST)


@pytest.fixture
def iris(tmp_path) -> Iterator[IrisServer]:
    with IrisServer(tmp_path) as running:
        yield running


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    made = tmp_path / "staging"
    made.mkdir()
    return made


def system_of(iris: IrisServer, **changes: Any) -> System:
    key = iris.ca.parent / "iris.token"
    if not key.exists():
        key.write_text(KEY + "\n")
    usual = System(
        name="iris",
        adapter="dfir-iris",
        url=iris.url,
        timeout_s=5,
        credential=Credential(kind="bearer", secret_file=key),
        ca_file=iris.ca,
    )
    return replace(usual, **changes)


def collect(
    iris: IrisServer, staging: Path, *, ref: str = str(CASE), partial: bool = False, **options: Any
) -> Evidence:
    """Collect the case; `options` are those of the system, `parts`, `check`, and bounds."""
    names = ("options", "credential", "ca_file", "page_records")
    changes = {name: options.pop(name) for name in names if name in options}
    parts, check = options.pop("parts", (TIMELINE, ALERTS, ARTIFACTS)), options.pop("check", lambda: None)
    system = system_of(iris, **changes)
    source = LiveSource(
        profile=Profile(name="eu", systems=dict.fromkeys(parts, system)),
        storage=staging / "no-store",
        refs={"iris": ref},
        limits=replace(DEFAULT_LIMITS, **options),
    )
    return source.collect(INCIDENT, staging, allow_partial=partial, on_progress=lambda _: None, check=check)


def points(evidence: Evidence, member: str) -> list[Point]:
    """The records of a member as the index reads them."""
    if member == "timeline.json":
        return [point_of(event, line.decode(), EVENT) for event, line in read_timeline(evidence.members[member]).events]
    kind = ALERT if member == "alerts.json" else ARTIFACT
    return [point_of(record, line.decode(), kind) for record, line in iter_array(evidence.members[member])]


def records(evidence: Evidence, member: str) -> list[dict[str, Any]]:
    return [record for record, _ in iter_array(evidence.members[member])]


def when(text: str) -> int:
    return times.read(text)[0]


def contents(evidence: Evidence) -> dict[str, bytes]:
    found = {}
    for artifact in evidence.artifacts:
        with artifact.open() as file:
            found[f"{artifact.artifact_id}/{artifact.name}"] = file.read()
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_a_case_becomes_a_bundle_that_verifies(iris, staging, tmp_path, release):
    iris.release = release
    evidence = collect(iris, staging)
    assert gaps(evidence) == []
    assert evidence.counts == {"events": 3, "alerts": 5, "artifacts": 4}
    files = {name: path.read_bytes() for name, path in evidence.members.items()}
    files |= {f"artifacts/{name}": content for name, content in contents(evidence).items()}
    made = tmp_path / "case.bundle"
    format_builders.written(made, files, incident_id=INCIDENT, sources=evidence.provenance)
    manifest = verify_bundle(made, format_builders.ring(format_builders.signer())).manifest
    assert manifest.complete
    entry = evidence.provenance["timeline"]
    assert (entry["adapter"], entry["ref"], entry["record_count"]) == ("dfir-iris", "42", 3)
    assert entry["url"] == f"{iris.url}/case/timeline/events/list?cid=42"


@pytest.mark.parametrize("release", RELEASES)
def test_the_index_reads_time_title_phase_and_hosts_of_events(iris, staging, release):
    iris.release = release
    first, second, third = points(collect(iris, staging, parts=(TIMELINE,)), "timeline.json")
    assert [point.at_us for point in (first, second, third)] == [
        when("2026-01-12T08:00:00Z"), when("2026-01-12T09:30:00.250Z"), when("2026-01-12T11:00:00Z"),
    ]  # fmt: skip
    assert [point.phase for point in (first, second, third)] == ["initial-access", "command-and-control", ""]
    assert first.what == "Event 11"
    assert (first.hosts, first.accounts) == (["dc01.contoso.local"], ["svc-backup"])
    assert (second.hosts, third.hosts) == ([], [])
    assert first.severity == severities.UNRATED


def test_two_different_times_of_one_event_are_both_shown(iris, staging):
    entered = points(collect(iris, staging, parts=(TIMELINE,)), "timeline.json")[2]
    assert entered.time.startswith("datetime 2026-01-12T06:00:00.000000-05:00; timestamp 2026-01-12T12:00:00")


def test_events_without_a_zone_have_the_time_that_iris_keeps_in_utc(iris, staging):
    iris.events = [
        served.event(1, event_tz="CET"),
        served.event(2, event_date_wtz=None, event_tz=None),
        served.event(3, event_date="", event_date_wtz=None),
    ]
    dated = points(collect(iris, staging, parts=(TIMELINE,)), "timeline.json")
    assert [point.at_us for point in dated] == [when("2026-01-12T08:00:00Z")] * 2 + [times.UNDATED]


@pytest.mark.parametrize("release", RELEASES)
def test_every_field_of_an_event_is_kept(iris, staging, release):
    iris.release = release
    evidence = collect(iris, staging, parts=(TIMELINE,))
    kept = [event for event, _ in read_timeline(evidence.members["timeline.json"]).events]
    for sent, event in zip(iris.events, kept, strict=True):
        assert {name: event[name] for name in sent} == sent
        assert set(event) - set(sent) <= {"iocs", "timestamp", "datetime", "title", "phase", "hosts", "accounts"}


@pytest.mark.parametrize("release", RELEASES)
def test_assets_iocs_tasks_and_notes_with_their_text_are_in_the_header(iris, staging, release):
    iris.release = release
    evidence = collect(iris, staging, parts=(TIMELINE,))
    header = read_timeline(evidence.members["timeline.json"]).header
    assert header["incident_id"] == INCIDENT
    assert header["case"] == iris.case
    assert header["iris"]["iris_current"] == release
    assert [one["asset_name"] for one in header["assets"]] == ["DC01.contoso.local", "svc-backup"]
    assert [one["ioc_value"] for one in header["iocs"]] == ["evil.example"]
    assert [one["task_title"] for one in header["tasks"]] == ["Image the server"]
    assert header["notes"] == iris.notes
    assert [one["name"] for one in header["note_directories"]] == ["Findings"]


def test_a_header_beyond_its_bound_is_a_clear_fault_and_with_partial_a_gap(iris, staging):
    iris.notes = [{**iris.notes[0], "note_id": number, "note_content": "x" * 2000} for number in range(20)]
    with pytest.raises(PermanentError, match="more than 16384 bytes: notes after the first"):
        collect(iris, staging, parts=(TIMELINE,), header_bytes=16384)
    evidence = collect(iris, staging, parts=(TIMELINE,), header_bytes=16384, partial=True)
    assert evidence.counts["events"] == 3
    assert 0 < len(read_timeline(evidence.members["timeline.json"]).header["notes"]) < 20
    assert "more than 16384 bytes" in gaps(evidence)[0]["reason"]


@pytest.mark.parametrize(
    ("row", "said"),
    [("text", "record 2: it is not an object"), ({"event_id": "12"}, r"record 2 \(id 12\): it has no event_id")],
)
def test_one_bad_event_is_named_and_with_partial_left_out(iris, staging, row, said):
    answer = {"timeline": [served.listed(iris.events[0]), row, served.listed(iris.events[2])], "state": {}}
    iris.answers["/case/timeline/events/list"] = lambda http: http.older(answer) is None
    with pytest.raises(PermanentError, match=said):
        collect(iris, staging, parts=(TIMELINE,))
    evidence = collect(iris, staging, parts=(TIMELINE,), partial=True)
    assert [point.what for point in points(evidence, "timeline.json")] == ["Event 11", "Event 13"]
    assert len(gaps(evidence)) == 1


def test_a_record_that_is_not_json_is_named_by_its_place_and_with_partial_left_out_alone(iris, staging):
    body = json.dumps({"total": 3, "data": [served.alert(number) for number in (1, 2, 3)]})
    broken = body.replace('"alert_title": "Alert 2"', '"alert_title": NaN').encode()
    iris.alerts = [served.alert(number) for number in (1, 2, 3)]
    iris.answers["/api/v2/alerts"] = lambda http: "alert_ids" in http.query and http.says(broken) is None
    with pytest.raises(PermanentError, match=r"record 2 \(id 2\), byte \d+, field alert_title: NaN is not JSON"):
        collect(iris, staging, parts=(ALERTS,))
    evidence = collect(iris, staging, parts=(ALERTS,), partial=True)
    assert [one["alert_id"] for one in records(evidence, "alerts.json")] == [1, 3]
    assert len(gaps(evidence)) == 1


def test_one_event_whose_record_is_not_json_is_named_and_with_partial_left_out(iris, staging):
    iris.answers["/case/timeline/events/12"] = lambda http: (
        http.says(b'{"status": "success", "data": {"a": NaN}}') is None
    )
    with pytest.raises(PermanentError, match=r"record 2 \(id 12\): its answer was refused: .*NaN"):
        collect(iris, staging, parts=(TIMELINE,))
    evidence = collect(iris, staging, parts=(TIMELINE,), partial=True)
    assert [point.what for point in points(evidence, "timeline.json")] == ["Event 11", "Event 13"]
    assert "(id 12)" in gaps(evidence)[0]["reason"]


def test_a_directory_that_lists_fewer_notes_than_it_counts_is_a_fault(iris, staging):
    iris.release = OLDER
    wrong = {**served.directory(iris.notes), "note_count": 3}
    iris.answers["/case/notes/directories/filter"] = lambda http: http.older([wrong]) is None
    with pytest.raises(PermanentError, match="lists 2 notes, which is not what its note_count says"):
        collect(iris, staging, parts=(TIMELINE,))


def test_an_event_that_is_deleted_meanwhile_is_a_change_and_with_partial_named(iris, staging):
    iris.answers["/case/timeline/events/12"] = lambda http: http.older(None, "Invalid event ID", 400) is None
    with pytest.raises(RetryableError, match="event 12 was deleted while the timeline was read"):
        collect(iris, staging, parts=(TIMELINE,))
    evidence = collect(iris, staging, parts=(TIMELINE,), partial=True)
    assert [point.what for point in points(evidence, "timeline.json")] == ["Event 11", "Event 12", "Event 13"]
    assert gaps(evidence)[0]["reason"].startswith(
        "Timeline of iris (DFIR-IRIS): event 12: its record is not there any more"
    )


@pytest.mark.parametrize("release", RELEASES)
def test_the_index_reads_time_title_severity_and_hosts_of_alerts(iris, staging, release):
    iris.release = release
    iris.alerts = [
        served.alert(number, severity={"severity_id": number, "severity_name": name})
        for number, name in enumerate(("Unspecified", "Informational", "Low", "Medium", "High", "Critical"), start=1)
    ]
    read = points(collect(iris, staging, parts=(ALERTS,)), "alerts.json")
    assert [point.severity for point in read] == [0, 1, 2, 3, 4, 5]
    assert [point.rated for point in read][:2] == ["Unspecified", "Informational"]
    assert read[0].at_us == when("2026-01-12T08:00:01.5Z")
    assert read[0].what == "Alert 1"
    assert read[0].hosts == ["ws-7"]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("bound", [0, 7], ids=["as asked", "pages shorter than asked"])
def test_all_alerts_are_read_and_are_as_they_were_sent(iris, staging, release, bound):
    iris.release, iris.most_per_page = release, bound
    iris.alerts = [served.alert(number) for number in range(1, 60)]
    iris.alerts += [served.alert(99, cases=[7])]
    kept = records(collect(iris, staging, parts=(ALERTS,), page_records=10), "alerts.json")
    assert [one["alert_id"] for one in kept] == list(range(1, 60))
    for one in kept:
        sent = served.alert(one["alert_id"])
        assert {name: one[name] for name in sent} == sent


@pytest.mark.parametrize("release", RELEASES)
def test_alerts_of_one_time_are_all_read_though_iris_pages_them_in_no_order(iris, staging, release):
    """IRIS 2.4.20 itself sent 22 of 23 such alerts in pages of 10, with a total of 23."""
    iris.release = release
    same = {"alert_source_event_time": "2026-01-12T08:00:00"}
    iris.alerts = [served.alert(number, **same) for number in range(1, 24)]
    evidence = collect(iris, staging, parts=(ALERTS,), page_records=10)
    assert sorted(one["alert_id"] for one in records(evidence, "alerts.json")) == list(range(1, 24))
    assert "as_of" not in evidence.provenance["alerts"]


def test_ids_of_alerts_fit_into_a_request_of_iris(iris, staging):
    iris.alerts = [served.alert(10**9 + number) for number in range(600)]
    assert collect(iris, staging, parts=(ALERTS,)).counts["alerts"] == 600
    assert max(map(len, iris.asked)) < 4000


def test_an_alert_that_is_unlinked_meanwhile_is_a_change_and_with_partial_named(iris, staging):
    iris.alerts = [served.alert(number) for number in range(1, 31)]

    def unlink(query: dict[str, str]) -> None:
        if "11," in query.get("alert_ids", ""):
            iris.alerts = [one for one in iris.alerts if one["alert_id"] != 14]

    iris.on_alerts = unlink
    with pytest.raises(RetryableError, match="gone when they were read: 14"):
        collect(iris, staging, parts=(ALERTS,), page_records=10)
    iris.alerts.append(served.alert(14))
    evidence = collect(iris, staging, parts=(ALERTS,), page_records=10, partial=True)
    assert [one["alert_id"] for one in records(evidence, "alerts.json")] == [*range(1, 14), *range(15, 31)]
    assert gaps(evidence)[0]["reason"].endswith("alert 14 was gone when it was read.")


def test_alerts_that_come_meanwhile_belong_to_the_next_bundle(iris, staging):
    """A case that is still being worked on can be collected; the manifest says what came later."""
    iris.alerts = [served.alert(number) for number in range(1, 31)]

    def add(query: dict[str, str]) -> None:
        if "alert_ids" in query:
            iris.alerts.insert(0, served.alert(len(iris.alerts) + 1, alert_source_event_time="2026-01-01T00:00:00"))

    iris.on_alerts = add
    evidence = collect(iris, staging, parts=(ALERTS,), page_records=10)
    assert [one["alert_id"] for one in records(evidence, "alerts.json")] == list(range(1, 31))
    as_of = evidence.provenance["alerts"]["as_of"]
    assert (as_of["records"], as_of["later"]) == (30, 3)


def test_a_list_of_ids_that_changes_all_the_time_is_not_passed_off_as_complete(iris, staging):
    """A server that limits its pages sends the ids in several; one alert is removed and one added for each page."""
    iris.most_per_page = 10
    iris.alerts = [served.alert(number) for number in range(1, 31)]

    def churn(query: dict[str, str]) -> None:
        if int(query["page"]) > 1:
            iris.alerts.pop(0)
            iris.alerts.append(served.alert(iris.alerts[-1]["alert_id"] + 1))

    iris.on_alerts = churn
    with pytest.raises(RetryableError, match="its list of alerts changed each time"):
        collect(iris, staging, parts=(ALERTS,))


def test_a_total_that_the_list_does_not_have_is_a_fault(iris, staging):
    answer = {"total": 9, "data": [served.alert(1)], "last_page": 1, "current_page": 1, "next_page": None}
    iris.answers["/api/v2/alerts"] = lambda http: http.v2(answer) is None
    with pytest.raises(PermanentError, match="its list has 1 alerts, and its total says 9"):
        collect(iris, staging, parts=(ALERTS,))


def test_alerts_with_one_id_on_a_page_are_all_kept(iris, staging):
    iris.alerts = [served.alert(1), served.alert(1, alert_title="Another"), served.alert(2)]
    kept = records(collect(iris, staging, parts=(ALERTS,)), "alerts.json")
    assert sorted(one["alert_title"] for one in kept) == ["Alert 1", "Alert 2", "Another"]


@pytest.mark.parametrize("bad", ["text", {"alert_title": "x"}], ids=["no object", "no id"])
def test_one_bad_alert_is_named_and_with_partial_left_out(iris, staging, bad):
    good = [served.alert(1), served.alert(3)]
    iris.alerts = good
    listed = {"total": 3, "data": [{"alert_id": 1}, bad, {"alert_id": 3}], "next_page": None}
    iris.answers["/api/v2/alerts"] = lambda http: "fields" in http.query and http.v2(listed) is None
    with pytest.raises(PermanentError, match="list of alerts, record 2: it"):
        collect(iris, staging, parts=(ALERTS,))
    evidence = collect(iris, staging, parts=(ALERTS,), partial=True)
    assert [one["alert_id"] for one in records(evidence, "alerts.json")] == [1, 3]
    assert gaps(evidence)[0]["source"] == "alerts"
    assert "list of alerts, record 2: it" in gaps(evidence)[0]["reason"]


@pytest.mark.parametrize("release", RELEASES)
def test_files_of_the_datastore_have_their_records_and_bytes(iris, staging, release):
    iris.release = release
    evidence = collect(iris, staging, parts=(ARTIFACTS,))
    assert contents(evidence) == {
        "datastore-7/disk ímynd.dd": served.DISK,
        "datastore-8/evil.exe.zip": iris.contents[8],
        "datastore-9/pasted.png": served.PASTED,
    }
    kept = {one.get("artifact_id"): one for one in records(evidence, "artifacts.json")}
    for sent in iris.files:
        record = kept[f"datastore-{sent['file_id']}"]
        assert {name: record[name] for name in sent} == sent
    disk = kept["datastore-7"]
    assert (disk["size"], disk["sha256"]) == (len(served.DISK), hashlib.sha256(served.DISK).hexdigest())
    assert disk["folder"] == "Case 42/Evidences"
    point = next(one for one in points(evidence, "artifacts.json") if one.what == "disk ímynd.dd")
    assert point.at_us == when("2026-01-14T11:22:33.000444Z")


def test_a_zipped_file_is_kept_as_delivered_with_both_digests_and_its_password(iris, staging):
    evidence = collect(iris, staging, parts=(ARTIFACTS,))
    delivered = contents(evidence)["datastore-8/evil.exe.zip"]
    packed = next(one for one in evidence.artifacts if one.artifact_id == "datastore-8")
    assert packed.sha256 == hashlib.sha256(delivered).hexdigest()
    record = next(one for one in records(evidence, "artifacts.json") if one.get("file_id") == 8)
    assert record["file_sha256"] == hashlib.sha256(served.MALWARE).hexdigest().upper()
    with zipfile.ZipFile(io.BytesIO(delivered)) as archive:
        original = archive.read(archive.namelist()[0], pwd=record["file_password"].encode())
    assert hashlib.sha256(original).hexdigest().upper() == record["file_sha256"]


def test_content_that_breaks_off_is_continued(iris, staging):
    iris.cut_after = 50_000
    assert contents(collect(iris, staging, parts=(ARTIFACTS,)))["datastore-7/disk ímynd.dd"] == served.DISK


def test_content_that_is_not_what_the_record_says_is_refused_and_with_partial_missing(iris, staging):
    iris.contents[7] = served.DISK[::-1]
    evidence = collect(iris, staging, parts=(ARTIFACTS,), partial=True)
    assert [one.artifact_id for one in evidence.artifacts] == ["datastore-8", "datastore-9"]
    assert gaps(evidence)[0]["path"] == "artifacts/datastore-7/disk ímynd.dd"
    assert "another SHA-256 than its record" in gaps(evidence)[0]["reason"]


@pytest.mark.parametrize("release", [OLDER, NEWEST])
def test_a_file_that_iris_lost_is_named_without_the_servers_path(iris, staging, release):
    iris.release = release
    del iris.contents[7]
    evidence = collect(iris, staging, parts=(ARTIFACTS,), partial=True)
    assert gaps(evidence) == [
        {
            "path": "artifacts/datastore-7/disk ímynd.dd",
            "reason": "Artifacts of iris (DFIR-IRIS): it has the record of artifact datastore-7, but not its file.",
        }
    ]


def test_files_that_the_tree_leaves_out_come_from_the_flat_list(iris, staging):
    iris.files.append(served.file_record(10, "lost.bin", b"lost", file_parent_id=77))
    iris.contents[10] = b"lost"
    assert contents(collect(iris, staging, parts=(ARTIFACTS,)))["datastore-10/lost.bin"] == b"lost"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"file_sha256": "abc"}, "its file_sha256 is not a SHA-256"),
        ({"file_size": -1}, "its file_size is not a usable number"),
        ({"file_original_name": ""}, "it has no file_original_name"),
        ({"file_case_id": 7}, "it belongs to another case"),
    ],
)
def test_one_bad_record_of_a_file_is_named_and_with_partial_left_out(iris, staging, changes, said):
    iris.files[0].update(changes)
    with pytest.raises(PermanentError, match=rf"record 1 \(id 7\): {said}"):
        collect(iris, staging, parts=(ARTIFACTS,), options={"evidence_without_bytes": "record"})
    evidence = collect(iris, staging, parts=(ARTIFACTS,), partial=True, options={"evidence_without_bytes": "record"})
    assert [one.artifact_id for one in evidence.artifacts] == ["datastore-8", "datastore-9"]
    assert said in gaps(evidence)[0]["reason"]


def test_evidence_says_which_file_of_the_datastore_it_is(iris, staging):
    kept = [one for one in records(collect(iris, staging, parts=(ARTIFACTS,)), "artifacts.json") if "filename" in one]
    assert [(one["id"], one["name"], one["bytes"]) for one in kept] == [(1, "disk ímynd.dd", "datastore-7")]
    assert {name: kept[0][name] for name in iris.evidences[0]} == iris.evidences[0]


@pytest.mark.parametrize("release", RELEASES)
def test_evidence_without_bytes_is_missing_and_said_so(iris, staging, release):
    iris.release = release
    iris.evidences.append(served.evidence(2, "seized\u202elaptop.E01", "d41d8cd98f00b204e9800998ecf8427e"))
    said = r"evidence 2 \(seized%E2%80%AElaptop.E01\)"
    with pytest.raises(PermanentError, match=rf"evidence that has no bytes in IRIS \(1\): {said}. Allow a partial"):
        collect(iris, staging, parts=(ARTIFACTS,))
    evidence = collect(iris, staging, parts=(ARTIFACTS,), partial=True)
    [gap] = gaps(evidence)
    assert gap["source"] == "artifacts"
    assert gap["reason"].endswith(
        "evidence 2 (seized%E2%80%AElaptop.E01) has no bytes in IRIS; only its record is here."
    )
    bare = next(one for one in records(evidence, "artifacts.json") if one.get("id") == 2)
    assert (bare["bytes"], bare["file_hash"]) == ("none in IRIS", "d41d8cd98f00b204e9800998ecf8427e")
    assert len(evidence.artifacts) == 3


def test_a_site_may_say_that_the_register_is_only_a_register(iris, staging):
    iris.evidences.append(served.evidence(2, "laptop.E01", ""))
    evidence = collect(iris, staging, parts=(ARTIFACTS,), options={"evidence_without_bytes": "record"})
    assert gaps(evidence) == []
    assert evidence.provenance["artifacts"]["notes"] == [
        "evidence that has no bytes in IRIS (1): evidence 2 (laptop.E01)."
    ]


@pytest.mark.parametrize("part", [TIMELINE, ALERTS, ARTIFACTS])
def test_a_ref_that_is_no_whole_number_is_refused_before_anything_is_asked(iris, staging, part):
    for ref in ("INC-7", "4.2", "-1", "0", "042", "42?cid=7", "\u0664\u0662", "9" * 40):
        with pytest.raises(PermanentError, match="is not the id of a case in IRIS") as raised:
            collect(iris, staging, ref=ref, parts=(part,))
        assert raised.value.code == "incident_unknown"
    assert iris.asked == []


@pytest.mark.parametrize("part", [TIMELINE, ALERTS, ARTIFACTS])
@pytest.mark.parametrize("release", [OLDER, NEWEST])
def test_a_case_that_is_not_there_is_a_clear_fault(iris, staging, part, release):
    iris.release = release
    with pytest.raises(PermanentError, match="has no right to read it, or there is no such case") as raised:
        collect(iris, staging, ref="43", parts=(part,))
    assert raised.value.code == "source_rejected"


def test_a_case_that_iris_says_is_not_there_is_unknown(iris, staging):
    iris.answers["/manage/cases/43"] = lambda http: http.older(None, "Case ID 43 not found", 400) is None
    with pytest.raises(PermanentError, match="the incident 43 is not known there") as raised:
        collect(iris, staging, ref="43", parts=(TIMELINE,))
    assert raised.value.code == "incident_unknown"


@pytest.mark.parametrize("release", RELEASES)
def test_a_case_that_the_key_may_not_read_is_a_clear_fault(iris, staging, release):
    iris.release = release
    iris.readable.clear()
    with pytest.raises(PermanentError, match="refused access to case 42 with HTTP 403"):
        collect(iris, staging, parts=(ALERTS,))


@pytest.mark.parametrize("release", RELEASES)
def test_a_wrong_key_is_refused_and_appears_nowhere(iris, staging, tmp_path, release):
    iris.release = release
    wrong = tmp_path / "wrong.token"
    wrong.write_text("hunter2-not-the-key")
    with pytest.raises(PermanentError, match="refused the credential") as raised:
        collect(iris, staging, credential=Credential(kind="bearer", secret_file=wrong))
    assert raised.value.code == "source_rejected"
    assert "hunter2" not in str(raised.value)


def test_a_server_of_another_authority_is_refused(iris, staging, tmp_path):
    other = Authority(tmp_path, "other")
    with pytest.raises(PermanentError, match="its TLS certificate is not accepted"):
        collect(iris, staging, ca_file=other.certificate)


def without_right_to_alerts(http: Handler) -> bool:
    http.older(None, "Permission denied", 403)
    return True


@pytest.mark.parametrize("release", RELEASES)
def test_a_key_without_the_right_to_read_alerts_is_a_fault_of_the_alerts_alone(iris, staging, release):
    iris.release = release
    iris.answers |= dict.fromkeys(("/api/v2/alerts", "/alerts/filter"), without_right_to_alerts)
    evidence = collect(iris, staging, partial=True)
    assert [one["source"] for one in gaps(evidence)] == ["alerts"]
    assert "refused the credential, or its rights, with HTTP 403" in gaps(evidence)[0]["reason"]


def test_an_asset_list_that_v2_keeps_from_readers_comes_from_the_older_route(iris, staging):
    iris.release = BETA
    iris.answers["/api/v2/cases/42/assets"] = without_right_to_alerts
    header = read_timeline(collect(iris, staging, parts=(TIMELINE,)).members["timeline.json"]).header
    assert [one["asset_id"] for one in header["assets"]] == [1, 2]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((b"<html>Sign in</html>", 200, "text/html"), PermanentError, "a page, not with JSON"),
        ((b'{"status": "error", "message": "secret-body", "data": []}', 200), PermanentError, "the request failed"),
        ((b'{"status": "error", "message": "secret-body", "data": []}', 500), RetryableError, "HTTP 500"),
        ((b'{"status": "success", "data": {"timeline": [{"event_id": 1', 200), RetryableError, "half-way"),
        ((b'{"status": "success", "message": "", "data": {}}', 200), PermanentError, "no list named timeline"),
        ((b"", 302, "text/html"), PermanentError, "a redirect"),
        ((b'{"a": NaN}', 200), PermanentError, "refused"),
    ],
    ids=["page", "error envelope", "500", "cut", "no list", "redirect", "not JSON"],
)
def test_answers_that_are_none_are_told_apart_and_never_quoted(iris, staging, answer, kind, said):
    iris.answers["/case/timeline/events/list"] = lambda http: http.says(*answer) is None
    with pytest.raises(kind, match=said) as raised:
        collect(iris, staging, parts=(TIMELINE,))
    assert "secret-body" not in str(raised.value)


def test_a_job_that_must_end_stops_the_reading(iris, staging):
    iris.alerts = [served.alert(number) for number in range(1, 31)]

    def check() -> None:
        if any("alert_ids" in path for path in iris.asked):
            raise CancelledError("stop")

    with pytest.raises(CancelledError):
        collect(iris, staging, parts=(ALERTS,), page_records=10, check=check, partial=True)
    assert sum("alert_ids" in path for path in iris.asked) == 1


def adapter(iris: IrisServer, part: Any, **changes: Any) -> DfirIrisAdapter:
    return DfirIrisAdapter(system_of(iris, **changes), part, DEFAULT_LIMITS)


@pytest.mark.parametrize("release", RELEASES)
def test_an_offer_counts_without_fetching(iris, release):
    iris.release = release
    iris.evidences.append(served.evidence(2, "laptop.E01", ""))
    offers = {part: adapter(iris, part).offer("42") for part in (TIMELINE, ALERTS, ARTIFACTS)}
    assert (offers[TIMELINE].records, offers[ALERTS].records, offers[ARTIFACTS].records) == (3, 5, 5)
    assert offers[ARTIFACTS].size_bytes == len(served.DISK)
    assert offers[ARTIFACTS].detail == (
        "3 files and 2 evidence records; 1 of the evidence records without bytes in IRIS, which makes the bundle "
        "incomplete; "
        "the size of 2 files is known once they are read."
    )
    assert not [path for path in iris.asked if "/file/view/" in path or "/datastore/files/" in path]


@pytest.mark.parametrize("release", RELEASES)
def test_it_lists_the_cases_that_the_key_may_read(iris, release):
    iris.release = release
    listed = adapter(iris, TIMELINE).incidents(10)
    assert (listed[0].ref, listed[0].title) == ("42", "#42 - Ransomware at Contoso")
    assert listed[0].at == ("01/12/2026" if release == OLDER else "2026-01-12")


def test_wrong_settings_are_found_without_asking(iris, tmp_path):
    key = tmp_path / "key"
    right = system_of(iris)
    assert DfirIrisAdapter.faults_of(right) == []
    as_header = Credential(kind="header", secret_file=key, name="X-IRIS-AUTH")
    assert DfirIrisAdapter.faults_of(replace(right, credential=as_header)) == []
    assert DfirIrisAdapter.faults_of(
        replace(right, credential=None, options={"colour": 1, "evidence_without_bytes": "maybe"})
    ) == [
        "options.colour: the adapter dfir-iris has no such option.",
        "options.evidence_without_bytes: it is neither 'missing' nor 'record'.",
        "token_file: IRIS needs the API key of a user.",
    ]
    basic = Credential(kind="basic", secret_file=key, name="ada")
    assert "as a bearer token" in DfirIrisAdapter.faults_of(replace(right, credential=basic))[0]
    assert iris.asked == []


def test_it_is_registered_by_its_name():
    assert registry.get("dfir-iris") is DfirIrisAdapter
    assert json.dumps(sorted(part.key for part in DfirIrisAdapter.parts)) == '["alerts", "artifacts", "timeline"]'
