"""Files that other people published: imported, restored and bundled again, with the readings of `SOURCES.md`.

They are not part of this repository. `ORCH_SHARED_CASES` names the folder that has them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bundles import services as bundle_services
from bundles.format.model.records import iter_array, read_timeline
from bundles.intake.delivered import DELIVERED
from bundles.models import Bundle, IndexedRecord
from bundles.timelines.severities import SEVERITIES
from bundles.timelines.times import EPOCH, UNDATED
from foundation.principal import SYSTEM
from rehydration import services as rehydration_services
from tests.bundles.intake.test_formats import public_records
from tests.bundles.intake.test_import import bundled, delivered, unpacked
from tests.support import main_job

ROOT = public_records()
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("orch"),
    pytest.mark.skipif(not ROOT.is_dir(), reason="the folder of public records is not beside this checkout"),
]
COLLECTION = "velociraptor/Collection-WIN-E5K9RC5GU23-2021-11-21T18_05_56-08_00.zip"
CLOUDTRAIL = "cloudtrail/218007301253_CloudTrail_us-east-1_20230710T1145Z_7xgocspSowgK0Gto.json"

# File → number of events and alerts by severity; readings of records: part of the title → times in UTC.
COUNTS: dict[str, dict[str, int]] = {
    "suricata-eve/alerts-only.json": {"high": 76, "medium": 82, "low": 49},
    "cloudtrail/aws.credential-access.ec2-get-password-data.json": {"unrated": 34},
    "cloudtrail/aws.credential-access.secretsmanager-retrieve-secrets.json": {"unrated": 21},
    "cloudtrail/aws.defense-evasion.cloudtrail-stop.json": {"unrated": 1},
    "cloudtrail/aws.exfiltration.ec2-share-ebs-snapshot.json": {"unrated": 1},
    "cloudtrail/aws.initial-access.console-login-without-mfa.json": {"unrated": 1},
    "cloudtrail/aws.persistence.iam-create-admin-user.json": {"unrated": 3},
    CLOUDTRAIL: {"unrated": 29},
    "misp/mainly_objects_1.json": {"low": 75},
    "misp/to_delete1.json": {"low": 76},
    COLLECTION: {"unrated": 19 + 4 + 3 + 3 + 1, "info": 1},
    "velociraptor/unencrypted_collector.zip": {"unrated": 6},
    "velociraptor/encrypted_collector_password.zip": {"unrated": 6},
    "timesketch/evtx_part.csv": {"info": 13},
    "timesketch/csv_timestamp_as_datetime.csv": {"unrated": 4},
    "timesketch/validate_no_datetime_timestamps.csv": {"unrated": 5},
    "timesketch/validate_time_out_of_range.csv": {"unrated": 2},
    "timesketch/validate_timestamp_conversion.csv": {"unrated": 3},
    "timesketch/large_field_event.jsonl": {"unrated": 3},
    "timesketch/sigma_events.jsonl": {"unrated": 4, "info": 1},
    "timesketch/validate_time_precision_jsonl.jsonl": {"unrated": 2},
    "plaso/json_line.log": {"unrated": 20},
    "evtx-json/test.jsonl": {},
}
TIMES: dict[str, dict[int, str]] = {
    "suricata-eve/alerts-only.json": {
        1: "2018-03-24T20:37:19.037299Z", 2: "2018-03-23T19:59:41.964828Z", 11: "2018-03-24T20:35:03.195686Z",
    },
    "cloudtrail/aws.credential-access.ec2-get-password-data.json": {1: "2024-07-30T21:31:21Z"},
    "cloudtrail/aws.defense-evasion.cloudtrail-stop.json": {1: "2024-07-31T13:06:24Z"},
    "cloudtrail/aws.persistence.iam-create-admin-user.json": dict.fromkeys((1, 2, 3), "2024-08-01T13:33:28Z"),
    CLOUDTRAIL: {1: "2023-07-10T11:42:36Z"},
    "misp/mainly_objects_1.json": {1: "2019-02-20T09:17:56Z", 75: "2018-12-04T11:09:24Z"},
    "timesketch/evtx_part.csv": {1: "2012-03-14T04:17:38.276340Z", 13: "2012-03-14T04:17:43.354562Z"},
    "timesketch/csv_timestamp_as_datetime.csv": {1: "2024-08-12T15:03:14.349345Z", 2: "2025-06-30T19:50:29.117113Z"},
    "timesketch/validate_no_datetime_timestamps.csv": {
        1: "2015-07-01T22:27:41Z", 2: "2015-07-25T02:01:01Z", 3: "2015-07-25T02:01:01Z",
    },
    "timesketch/validate_time_out_of_range.csv": {1: "1601-01-01T00:00:00Z", 2: "2227-12-31T23:01:01Z"},
    "timesketch/validate_timestamp_conversion.csv": {
        1: "2012-03-14T04:17:38Z", 2: "2022-07-24T19:01:01Z", 3: "2015-07-25T02:01:01Z",
    },
    "timesketch/large_field_event.jsonl": {2: "2026-02-18T13:37:00Z"},
    "timesketch/sigma_events.jsonl": {1: "2015-07-24T19:01:01Z", 5: "2022-01-22T23:07:43.502205Z"},
    "timesketch/validate_time_precision_jsonl.jsonl": {1: "2024-07-24T10:57:02.877297Z", 2: "2015-07-24T19:01:01Z"},
    "plaso/json_line.log": {1: "2012-01-22T07:52:33Z", 3: "2012-01-22T07:53:01Z", 20: "2026-07-02T17:48:00.586325Z"},
}  # fmt: skip


def written(at_us: int) -> str:
    return "" if at_us == UNDATED else (EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")


def records_in(folder: Path) -> Iterator[dict[str, Any]]:
    """The events and alerts of a bundle, each as it is in the file."""
    for event, _ in read_timeline(folder / "timeline.json").events:
        yield event
    for alert, _ in iter_array(folder / "alerts.json"):
        yield alert


def restored_and_bundled_again(made: Bundle) -> Bundle:
    """Restore a bundle, and make one of what was restored."""
    main_job.finished(rehydration_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id)).job)
    job = bundle_services.request_bundle(SYSTEM, incident_id=made.incident_id, source="restored").job
    main_job.finished(job)
    job.refresh_from_db()
    assert job.result is not None
    return Bundle.objects.get(bundle_id=job.result["bundle_id"])


def test_every_public_file_is_named_here():
    files = {str(path.relative_to(ROOT)) for path in ROOT.glob("*/*") if path.parent.name != "LICENSES"}
    assert files == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_a_public_file_is_shown_as_its_publisher_says_and_comes_back_the_same(name, tmp_path):
    raw = (ROOT / name).read_bytes()
    made = bundled(delivered(raw, Path(name).name), **({"password": "hello"} if "encrypted" in name else {}))
    assert made.complete, made.missing
    folder = unpacked(made, tmp_path / "out")
    artifacts = {record["name"]: record for record, _ in iter_array(folder / "artifacts.json")}
    whole = artifacts[Path(name).name]
    assert (whole["artifact_id"], whole["size"]) == (DELIVERED, len(raw))
    assert whole["sha256"] == hashlib.sha256(raw).hexdigest()
    assert (folder / "artifacts" / DELIVERED / Path(name).name).read_bytes() == raw

    points = IndexedRecord.objects.filter(timeline__incident_id=made.incident_id).exclude(kind="artifact")
    assert Counter(SEVERITIES[one.severity] for one in points) == COUNTS[name]
    assert {one.phase for one in points} <= {""}
    shown = {(one.kind, one.position): written(one.at_us) for one in points}
    kind = "alert" if name.startswith("suricata") else "event"
    by_place = {
        record["imported_from"]["position"]: shown[kind, number] for number, record in enumerate(records_in(folder))
    }
    assert {place: by_place[place] for place in TIMES.get(name, {})} == TIMES.get(name, {})
    assert restored_and_bundled_again(made).content_digest == made.content_digest


def test_records_of_equal_times_keep_the_order_of_the_file(tmp_path):
    name = "cloudtrail/aws.persistence.iam-create-admin-user.json"
    folder = unpacked(bundled(delivered((ROOT / name).read_bytes(), "trail.json")), tmp_path / "out")
    assert [one["title"] for one in records_in(folder)] == ["AttachUserPolicy", "CreateAccessKey", "CreateUser"]


def test_the_attachment_of_the_public_misp_event_is_an_artifact_of_its_own(tmp_path):
    raw = (ROOT / "misp/mainly_objects_1.json").read_bytes()
    folder = unpacked(bundled(delivered(raw, "misp.json")), tmp_path / "out")
    (held,) = [one for one, _ in iter_array(folder / "artifacts.json") if one["name"].endswith(".stix.xml")]
    assert (held["name"], held["size"]) == ("MAR-10164494.r1.v1.stix.xml", 64_551)
    assert held["sha256"].startswith("6d9af4931368dcd4")
    content = (folder / "artifacts" / held["artifact_id"] / held["name"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == held["sha256"]


def test_the_public_collection_shows_the_files_by_their_names_and_what_disagrees(tmp_path):
    raw = (ROOT / COLLECTION).read_bytes()
    folder = unpacked(bundled(delivered(raw, Path(COLLECTION).name)), tmp_path / "out")
    records = [one for one, _ in iter_array(folder / "artifacts.json")]
    by_name = {one["name"]: one for one in records}
    assert len([one for one in records if one.get("artifact_id", "").startswith("m")]) == 16
    journal = by_name["\\\\.\\C:\\$Extend\\$UsnJrnl:$J"]
    assert (journal["size"], journal["sparse"]) == (5_120, True)
    assert journal["sha256"].startswith("3e9ba2c3")
    assert any("39612408" in fault and "5120" in fault for fault in journal["faults"])
    assert any("2020dbcb" in fault for fault in journal["faults"])
    hive = by_name["C:\\Users\\Administrator\\ntuser.dat"]
    assert hive["modified"].startswith("2024-08-15T06:46:20")
    assert hive["sha256"].startswith("72892da8")
    assert any("2020dbcb" in fault for fault in hive["faults"])
    agreed = by_name["\\\\.\\C:\\$Extend\\$UsnJrnl:$Max"]
    assert agreed["sha256"].startswith("40828efd")
    assert "faults" not in agreed
    times = {
        written(one.at_us)
        for one in IndexedRecord.objects.filter(timeline__incident_id="import-1").exclude(kind="artifact")
    }
    assert {"2022-11-22T02:05:57Z", "2022-11-22T02:05:57.032004Z", "2022-11-22T02:06:02.363154Z"} <= times
    assert b"1669082757032004800" in (folder / "timeline.json").read_bytes()


def test_the_encrypted_public_collection_needs_its_password_and_says_how_to_give_it():
    raw = (ROOT / "velociraptor/encrypted_collector_password.zip").read_bytes()
    without = bundled(delivered(raw, "sealed.zip"))
    assert "password" in without.missing[0]["reason"]
    wrong = bundled(delivered(raw, "sealed.zip"), password="wrong-one")
    assert wrong.missing[0]["reason"] != without.missing[0]["reason"]
    assert "wrong-one" not in str(wrong.missing)


def test_the_numbers_of_public_records_keep_their_text(tmp_path):
    raw = (ROOT / "suricata-eve/alerts-only.json").read_bytes()
    folder = unpacked(bundled(delivered(raw, "alerts.json")), tmp_path / "out")
    texts = [line for line in raw.split(b",") if b'"flow_id"' in line]
    alerts = (folder / "alerts.json").read_bytes()
    assert all(line.partition(b":")[2].strip() in alerts for line in texts[:50])
