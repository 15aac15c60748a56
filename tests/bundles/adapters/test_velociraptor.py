"""The adapter of Velociraptor against its gRPC API with mutual TLS: rows, uploads, states, and what is missing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from bundles.format.model.records import iter_array, read_timeline
from bundles.format.reading.verify import verify_bundle
from bundles.handlers.pack import pack
from bundles.sources import faults
from bundles.sources.adapters import registry
from bundles.sources.adapters.velociraptor.adapter import VelociraptorAdapter
from bundles.sources.limits import DEFAULT_LIMITS
from bundles.sources.live import LiveSource
from bundles.sources.profiles import Profile
from bundles.timelines import record_index
from jobs.errors import PermanentError, RetryableError
from tests.support import format_builders
from tests.support.upstreams import gaps
from tests.support.velociraptor_server import CLIENT, FLOW, StoredFlow, Velociraptor, filler

EVTX, PSLIST, SIGMA = "Windows.EventLogs.Evtx", "Windows.System.Pslist", "Windows.Hayabusa.Rules/Detections"
ROWS = [
    {
        "artifact": "Windows.EventLogs.*",
        "part": "timeline",
        "time": "System.TimeCreated.SystemTime",
        "title": "Message",
    },
    {
        "artifact": "Windows.Hayabusa.*",
        "part": "alerts",
        "time": "Timestamp",
        "title": "Title",
        "severity": "Level",
        "id": "RecordID",
    },
]
REF = f"{CLIENT}/{FLOW}"
PARTS = (faults.TIMELINE, faults.ALERTS, faults.ARTIFACTS)


@pytest.fixture
def server(tmp_path):
    with Velociraptor(tmp_path) as running:
        yield running


@pytest.fixture
def staging(tmp_path):
    made = tmp_path / "staging"
    made.mkdir()
    return made


def flow_with_rows(**changed):
    evtx = [
        json.dumps({
            "System": {"TimeCreated": {"SystemTime": 1669082757.5 + number}, "EventRecordID": number},
            "Message": f"event {number}",
        })
        for number in range(3)
    ]  # fmt: skip
    found = [
        '{"Timestamp":"2022-11-22T02:06:02.3631543Z","Level":"high","Title":"Cleared","RecordID":77,"id":"own","S":1.10}',
        '{"Timestamp":"2022-11-22T02:06:01.0000001Z","Level":"crit","Title":"Dump","RecordID":78,"Score":1E400}',
    ]
    flow = StoredFlow(rows={EVTX: evtx, SIGMA: found, PSLIST: ['{"Pid":4,"Name":"System"}', '{"Pid":8,"Name":"smss"}']})
    return replace(flow, **changed)


def source_of(system, staging, *, parts=None, ref=REF, **limits):
    profile = Profile(name="eu", systems=dict.fromkeys(parts or PARTS, system))
    bounds = replace(DEFAULT_LIMITS, **limits)
    return LiveSource(profile=profile, storage=staging / "no-store", refs={"velociraptor": ref}, limits=bounds)


def collect(server, staging, *, allow_partial=False, parts=None, ref=REF, options=None, timeout_s=5, **limits):
    system = server.system(timeout_s=timeout_s, **({"rows": ROWS} if options is None else options))
    source = source_of(system, staging, parts=parts, ref=ref, **limits)
    return source.collect(
        "case-7", staging, allow_partial=allow_partial, on_progress=lambda *_: None, check=lambda: None
    )


def alerts_of(evidence):
    return [alert for alert, _ in iter_array(evidence.members["alerts.json"])]


def records_of(evidence):
    return {record["name"]: record for record, _ in iter_array(evidence.members["artifacts.json"])}


def contents_of(evidence):
    found = {}
    for artifact in evidence.artifacts:
        with artifact.open() as file:
            found[artifact.name] = file.read()
        assert (artifact.size, artifact.sha256) == (
            len(found[artifact.name]),
            hashlib.sha256(found[artifact.name]).hexdigest(),
        )
    return found


def test_rows_become_events_and_alerts_by_the_rules_and_keep_what_was_served(server, staging):
    server.add(flow_with_rows())
    evidence = collect(server, staging)
    assert evidence.counts == {"events": 3, "alerts": 2, "artifacts": 2}
    assert gaps(evidence) == []
    timeline = read_timeline(evidence.members["timeline.json"])
    events = [event for event, _ in timeline.events]
    assert [event["Message"] for event in events] == ["event 0", "event 1", "event 2"]
    assert events[0]["System"]["EventRecordID"] == 0
    own = {"artifact": EVTX, "client_id": CLIENT, "flow_id": FLOW, "host": "WIN-E5K9RC5GU23"}
    assert events[0].items() >= own.items()
    assert (events[0]["timestamp"], events[0]["title"]) == (1669082757.5, "event 0")
    assert timeline.header["flows"][0]["state"] == "FINISHED"
    alerts = alerts_of(evidence)
    assert [(one["id"], one["title"], one["severity"]) for one in alerts] == [
        (78, "Dump", "crit"),
        (77, "Cleared", "high"),
    ]
    raw = evidence.members["alerts.json"].read_text()
    assert '"S":1.10' in raw
    assert '"Score":1E400' in raw
    assert alerts[1]["served"] == {"id": "own"}


def test_rows_that_no_rule_takes_are_kept_as_files_and_mapped_ones_are_named(server, staging):
    server.add(flow_with_rows(log=[{"_ts": 1669082757, "level": "DEFAULT", "message": "Selecting"}]))
    evidence = collect(server, staging)
    contents = contents_of(evidence)
    assert set(contents) == {"flow.json", "logs.json", f"results/{PSLIST}.json"}
    assert contents[f"results/{PSLIST}.json"] == b'{"Name":"System","Pid":4}\n{"Name":"smss","Pid":8}\n'
    assert json.loads(contents["flow.json"])["session_id"] == FLOW
    record = records_of(evidence)[f"results/{PSLIST}.json"]
    assert (record["artifact"], record["rows"], record["flow_id"]) == (PSLIST, 2, FLOW)
    notes = evidence.provenance["artifacts"]["notes"]
    assert [note.split()[2] for note in notes] == [EVTX, SIGMA]


def test_all_rows_are_files_too_if_the_options_say_so(server, staging):
    server.add(flow_with_rows())
    contents = contents_of(collect(server, staging, options={"rows": ROWS, "results": "all"}))
    assert "results/Windows.Hayabusa.Rules%2FDetections.json" in contents
    assert f"results/{EVTX}.json" in contents


def test_uploads_keep_their_original_path_their_record_and_their_bytes(server, staging):
    flow = server.add(StoredFlow())
    server.upload(flow, r"C:\Users\Administrator\ntuser.dat", bytes(range(256)) * 10)
    server.upload(flow, "/etc/passwd", b"root")
    server.upload(flow, "/empty", b"")
    evidence = collect(server, staging, parts=[faults.ARTIFACTS])
    contents = contents_of(evidence)
    assert contents[r"C:\Users\Administrator\ntuser.dat"] == bytes(range(256)) * 10
    assert (contents["/etc/passwd"], contents["/empty"]) == (b"root", b"")
    record = records_of(evidence)["/etc/passwd"]
    assert record["_Components"][-1] == "passwd"
    assert (record["size"], record["collected_at"], record["kind"]) == (4, 1669082762, "upload")
    assert gaps(evidence) == []


def test_a_sparse_file_comes_as_stored_with_its_index_beside_it_and_is_never_filled(server, staging):
    index = b'{"ranges":[{"length":13732151296},{"original_offset":13732151296,"file_length":5120,"length":5120}]}'
    flow = server.add(StoredFlow())
    path = r"\\.\C:\$Extend\$UsnJrnl:$J"
    server.upload(flow, path, b"J" * 5120, full=13732156416, index=index)
    evidence = collect(server, staging, parts=[faults.ARTIFACTS])
    contents = contents_of(evidence)
    assert contents[path] == b"J" * 5120
    assert contents[path + ".idx"] == index
    records = records_of(evidence)
    record = records[path]
    assert (record["sparse"], record["file_size"], record["uploaded_size"]) == (True, 13732156416, 5120)
    assert record["index_artifact_id"] == records[path + ".idx"]["artifact_id"]


def test_a_server_that_fills_sparse_files_is_refused_and_the_file_is_named(server, staging):
    server.pads = True
    flow = server.add(StoredFlow())
    index = b'{"ranges":[{"length":100},{"original_offset":100,"file_length":10,"length":10}]}'
    server.upload(flow, "/sparse", b"J" * 10, full=110, index=index)
    with pytest.raises(PermanentError, match="its version is too old"):
        collect(server, staging, parts=[faults.ARTIFACTS])


def test_fewer_stored_bytes_than_stated_are_a_gap_and_what_is_there_is_kept(server, staging):
    flow = server.add(StoredFlow())
    place = server.upload(flow, "/short", b"whole file")
    server.files[place] = b"who"
    with pytest.raises(PermanentError, match=r"/short.*fewer than the stated 10 bytes"):
        collect(server, staging, parts=[faults.ARTIFACTS])
    again = staging / "partial"
    again.mkdir()
    evidence = collect(server, again, parts=[faults.ARTIFACTS], allow_partial=True)
    assert contents_of(evidence)["/short"] == b"who"
    assert [one["source"] for one in gaps(evidence)] == ["artifacts"]


def test_an_upload_that_was_cut_on_the_machine_and_one_with_more_bytes_are_stated(server, staging):
    flow = server.add(StoredFlow())
    server.upload(flow, "/cut", b"1234", full=9)
    place = server.upload(flow, "/grown", b"12345")
    server.files[place] = b"1234567"
    evidence = collect(server, staging, parts=[faults.ARTIFACTS])
    assert contents_of(evidence)["/grown"] == b"1234567"
    notes = " ".join(evidence.provenance["artifacts"]["notes"])
    assert "4 of 9 bytes were uploaded" in notes
    assert "more than the stated 5 bytes" in notes


def test_content_that_the_file_store_has_lost_is_named(server, staging):
    flow = server.add(StoredFlow())
    server.upload(flow, "/kept", b"kept")
    del server.files[server.upload(flow, "/lost", b"lost")]
    with pytest.raises(PermanentError, match="file store does not have"):
        read_all(collect(server, staging, parts=[faults.ARTIFACTS]))
    again = staging / "partial"
    again.mkdir()
    evidence = collect(server, again, parts=[faults.ARTIFACTS], allow_partial=True)
    assert set(contents_of(evidence)) == {"/kept", "flow.json"}
    assert len(gaps(evidence)) == 1


def read_all(evidence):
    for artifact in evidence.artifacts:
        with artifact.open() as file:
            file.read()


def test_an_upload_without_a_place_in_the_file_store_is_left_out_and_named(server, staging):
    flow = server.add(StoredFlow(context={"total_uploaded_files": 1}))
    server.upload(flow, "/kept", b"kept")
    flow.uploads.append({"vfs_path": "fs:/somewhere", "file_size": 1, "uploaded_size": 1, "Type": ""})
    with pytest.raises(PermanentError, match=r"upload 2 of .* has no place in the file store"):
        collect(server, staging, parts=[faults.ARTIFACTS])


def test_a_list_of_uploads_shorter_than_the_flow_states_is_a_gap(server, staging):
    server.add(StoredFlow(context={"total_uploaded_files": 3}))
    with pytest.raises(PermanentError, match="lists 0 uploads, and states 3"):
        collect(server, staging, parts=[faults.ARTIFACTS])


def test_fewer_rows_than_the_flow_states_are_a_gap(server, staging):
    stated = {"query_stats": [{"names_with_response": [EVTX], "result_rows": 5}]}
    server.add(flow_with_rows(context=stated))
    with pytest.raises(PermanentError, match=r"3 rows came, and the flow states 5"):
        collect(server, staging)


def test_rows_that_are_missing_from_an_answer_are_noticed_by_the_count_in_its_log(server, staging):
    server.add(flow_with_rows())
    server.stated_more = 1
    with pytest.raises(RetryableError, match="rows are missing"):
        collect(server, staging)


@pytest.mark.parametrize(
    ("state", "said"), [("IN_PROGRESS", "IN_PROGRESS"), (1, "RUNNING"), ("ERROR", "with an error")]
)
def test_a_flow_that_has_not_ended_well_is_stated_with_the_time(server, staging, state, said):
    server.add(flow_with_rows(context={"state": state, "total_uploaded_files": 7}))
    evidence = collect(server, staging)
    for part in ("timeline", "alerts", "artifacts"):
        (note,) = [one for one in evidence.provenance[part]["notes"] if REF in one and "as of 20" in one]
        assert said in note
    assert gaps(evidence) == []


def test_a_hunt_is_read_flow_by_flow_each_with_its_own_host(server, staging):
    other = "C.0000000000000002"
    server.hosts[other] = "DC01"
    server.add(flow_with_rows())
    server.add(flow_with_rows(client_id=other, flow_id="F.CDU2T197U1SFU.H"))
    server.hunts["H.1"] = {"hunt_id": "H.1", "hunt_description": "Evtx", "create_time": 5, "state": "RUNNING"}
    server.hunts["H.1"]["stats"] = {"total_clients_scheduled": 3}
    server.hunt_flows["H.1"] = [REF, f"{other}/F.CDU2T197U1SFU.H"]
    evidence = collect(server, staging, ref=f"H.1, {REF}")
    assert evidence.counts["events"] == 6
    events = [event for event, _ in read_timeline(evidence.members["timeline.json"]).events]
    assert {event["host"] for event in events} == {"WIN-E5K9RC5GU23", "DC01"}
    notes = " ".join(evidence.provenance["timeline"]["notes"])
    assert "The hunt H.1 still runs" in notes
    assert "The hunt H.1 states 3 machines, and 2 flows came (as of 20" in notes


def test_more_flows_than_the_bound_are_refused(server, staging):
    server.hunts["H.1"] = {"hunt_id": "H.1", "state": "STOPPED"}
    server.hunt_flows["H.1"] = []
    for number in range(3):
        flow = server.add(StoredFlow(flow_id=f"F.{number}"))
        server.hunt_flows["H.1"].append(f"{flow.client_id}/{flow.flow_id}")
    with pytest.raises(PermanentError, match="more than 2 flows"):
        collect(server, staging, ref="H.1", options={"rows": ROWS, "most_flows": 2})


def test_the_newest_hunts_are_listed(server):
    for number in range(3):
        server.hunts[f"H.{number}"] = {
            "hunt_id": f"H.{number}",
            "hunt_description": f"hunt {number}",
            "create_time": number,
        }
    with VelociraptorAdapter(server.system(), faults.TIMELINE, DEFAULT_LIMITS) as adapter:
        listed = adapter.incidents(2)
    assert [(one.ref, one.title, one.at) for one in listed] == [("H.2", "hunt 2", "2"), ("H.1", "hunt 1", "1")]


def test_an_offer_says_what_is_there_without_fetching_it(server):
    flow = server.add(flow_with_rows())
    server.upload(flow, "/a", b"1234")
    offers = {}
    for part in PARTS:
        with VelociraptorAdapter(server.system(rows=ROWS), part, DEFAULT_LIMITS) as adapter:
            offers[part.key] = adapter.offer(REF)
    assert [one.records for one in offers.values()] == [3, 2, 1]
    assert offers["artifacts"].size_bytes == 4
    assert server.asked == []
    assert not [query for query in server.queries if "flow_results" in query]


def test_a_transfer_that_is_cut_goes_on_at_its_offset(server, staging):
    flow = server.add(StoredFlow())
    size = 5 * 1024 * 1024 + 17
    server.upload(flow, "/big", size)
    cuts = {2 * 1024 * 1024: 2, 4 * 1024 * 1024: 1}

    def cut(offset, context):
        if cuts.get(offset):
            cuts[offset] -= 1
            context.abort(server.unavailable, "cut")

    server.before_piece = cut
    evidence = collect(server, staging, parts=[faults.ARTIFACTS])
    assert hashlib.sha256(contents_of(evidence)["/big"]).hexdigest() == hashlib.sha256(filler(0, size)).hexdigest()
    assert not any(cuts.values())
    pieces = [offset for offset, length in server.asked if length > 2]
    assert pieces.count(0) == 1
    assert pieces.count(2 * 1024 * 1024) == 3


def test_a_transfer_survives_a_restart_of_the_server(server, staging):
    size = 8 * 1024 * 1024
    server.upload(server.add(StoredFlow()), "/big", size)
    restarts: list[threading.Thread] = []

    def restart() -> None:
        server.stop()
        server.start()

    def stop_at_3_mib(offset, _context):
        if offset == 3 * 1024 * 1024 and not restarts:
            restarts.append(threading.Thread(target=restart))
            restarts[0].start()
            server.release.wait()

    server.before_piece = stop_at_3_mib
    evidence = collect(server, staging, parts=[faults.ARTIFACTS], timeout_s=30)
    contents = contents_of(evidence)
    restarts[0].join()
    assert contents["/big"] == filler(0, size)
    assert [offset for offset, length in server.asked if length > 2].count(0) == 1


def test_200_mb_stay_flat_in_memory(server, tmp_path):
    flow = server.add(StoredFlow())
    server.upload(flow, "/disk.img", 200 * 1000 * 1000)
    server.client_file.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(server.client_file), REF, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    size, grown_kib = map(int, done.stdout.split())
    assert size == 200 * 1000 * 1000
    assert grown_kib < 64 * 1024


READ_ALL = """
import os, resource, sys
os.environ.update(ORCH_PROFILE="development", DB_HOST="unused")
from pathlib import Path
from bundles.sources import faults
from bundles.sources.adapters.protocol import Wanted
from bundles.sources.adapters.velociraptor.adapter import VelociraptorAdapter
from bundles.sources.limits import DEFAULT_LIMITS
from bundles.sources.profiles import System
from bundles.sources.trace import Tally

client_file, ref, staging = sys.argv[1:]
system = System(name="v", adapter="velociraptor", url="", timeout_s=20, options={"api_client_file": client_file})
adapter = VelociraptorAdapter(system, faults.ARTIFACTS, DEFAULT_LIMITS)
tally = Tally(lambda _: None, lambda: None)
wanted = Wanted(incident_id="case-7", ref=ref, staging=Path(staging), tally=tally, allow_partial=False)
_, records = adapter.artifacts(wanted)
(record,) = [one for one in records if one.name == "/disk.img"]
size, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
content = adapter.content(record, 0, "")
while block := content.read(64 * 1024):
    size += len(block)
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_many_rows_come_in_parts_and_all_of_them_are_there(server, staging):
    made = [json.dumps({"System": {"TimeCreated": {"SystemTime": number}}, "n": number}) for number in range(2345)]
    server.add(StoredFlow(rows={EVTX: made}))
    evidence = collect(server, staging, parts=[faults.TIMELINE], page_records=100)
    assert [event["n"] for event, _ in read_timeline(evidence.members["timeline.json"]).events] == list(range(2345))


def test_the_registry_knows_it_and_importing_it_imports_no_grpc():
    assert registry.get("velociraptor") is VelociraptorAdapter
    module = "bundles.sources.adapters.velociraptor.adapter"
    code = f"import sys, {module}; print(sorted({{'grpc', 'yaml'}} & set(sys.modules)))"
    env = {"ORCH_PROFILE": "development", "DB_HOST": "unused", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "[]"


def test_a_flow_becomes_a_bundle_that_verifies_and_whose_times_the_index_reads(server, staging, tmp_path):
    flow = server.add(flow_with_rows())
    server.upload(flow, "/etc/passwd", b"root")
    evidence = collect(server, staging)
    written = pack(
        evidence,
        tmp_path / "case.bundle",
        incident_id="case-7",
        key=format_builders.signing_key(),
        chunk_size_mb=1,
        compression="zstd",
        progress=None,
    )
    manifest = verify_bundle(written.path, format_builders.ring()).manifest
    assert manifest.complete
    assert len(manifest.files) == 3 + len(evidence.artifacts)
    entry = evidence.provenance["timeline"]
    assert (entry["adapter"], entry["ref"], entry["url"]) == ("velociraptor", REF, f"grpc://{server.place}")
    assert entry["record_count"] == 3
    scratch = staging / "records.rows"
    prepared = record_index.prepare(evidence.members, {}, scratch)
    assert prepared.counts == {"events": 3, "alerts": {"high": 1, "critical": 1}, "artifacts": 3}
    read = [json.loads(line) for line in scratch.read_text().splitlines()]
    assert all(at_us > 1_669_082_000_000_000 for _, _, at_us, *_ in read)
