"""A delivered file becomes a signed bundle: the file whole, its members, its records, and what could not be read."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bundles.format.model.records import iter_array, read_timeline
from bundles.format.reading.extract import extract_bundle
from bundles.intake import services, store
from bundles.intake.delivered import DELIVERED
from bundles.intake.services import Arrived
from bundles.keys import trusted_keys
from bundles.models import Bundle, IndexedRecord, Intake
from bundles.storage import bundle_files
from custody.models import Event
from foundation.principal import SYSTEM
from jobs.models import Job
from tests.bundles.intake.test_formats import EVE, PLASO, lines
from tests.support import main_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]


def delivered(content: bytes, name: str) -> Intake:
    """Deliver a file and have it read for its preview."""
    file = bundle_files.quarantine() / "arrived.part"
    file.write_bytes(content)
    arrived = Arrived(file=file, name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    intake = services.receive(SYSTEM, arrived)
    main_job.finished(Job.objects.get(job_id=str(intake.preview_job_id)))
    intake.refresh_from_db()
    return intake


def preview_of(intake: Intake) -> dict[str, Any]:
    assert intake.preview is not None
    return dict(intake.preview)


def bundled(intake: Intake, **options: Any) -> Bundle:
    job = services.request_bundle(SYSTEM, intake.intake_id, incident_id="import-1", **options).job
    main_job.finished(job)
    intake.refresh_from_db()
    return Bundle.objects.get(bundle_id=str(intake.bundle_id))


def unpacked(made: Bundle, into: Path) -> Path:
    extract_bundle(bundle_files.output_dir() / made.name, trusted_keys.trusted(), into)
    return into


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def test_a_file_of_records_becomes_events_and_alerts_and_is_kept_whole(tmp_path):
    content = lines(EVE | {"alert": {"signature": "ET", "severity": 1}, "n": 1}, EVE | {"event_type": "dns"})
    intake = delivered(content, "eve of host 3.json")
    assert preview_of(intake)["records"][0]["kind"] == "suricata-eve"
    assert (preview_of(intake)["records"][0]["events"], preview_of(intake)["records"][0]["alerts"]) == (1, 1)
    assert preview_of(intake)["incident_id"] == "eve-of-host-3"
    assert [one["title"] for one in preview_of(intake)["first"]] == ["ET", "Suricata dns"]
    made = bundled(intake)
    assert (made.complete, made.source) == (True, "intake")
    folder = unpacked(made, tmp_path / "out")
    alert = next(iter_array(folder / "alerts.json"))[0]
    assert alert["id"] == "delivered:1"
    assert alert["imported_from"] == {"artifact_id": DELIVERED, "kind": "suricata-eve", "position": 1, "line": 1}
    assert [event["title"] for event, _ in read_timeline(folder / "timeline.json").events] == ["Suricata dns"]
    assert (folder / "artifacts" / DELIVERED / "eve of host 3.json").read_bytes() == content
    assert made.sources["artifacts"]["adapter"] == "collection"
    assert IndexedRecord.objects.filter(timeline__incident_id="import-1").count() == 3


def test_every_member_of_an_archive_is_an_artifact_and_its_records_say_where_they_are_from(tmp_path):
    content = zipped(logs__plaso__jsonl=b"", **{"logs__events.jsonl": lines(PLASO), "host.bin": b"\0" * 2000})
    intake = delivered(content, "collection.zip")
    assert preview_of(intake)["container"] == "zip"
    made = bundled(intake)
    folder = unpacked(made, tmp_path / "out")
    records = {record["artifact_id"]: record for record, _ in iter_array(folder / "artifacts.json")}
    assert records[DELIVERED]["sha256"] == hashlib.sha256(content).hexdigest()
    assert records["m000003"]["name"] == "host.bin"
    assert records["m000003"]["sha256"] == hashlib.sha256(b"\0" * 2000).hexdigest()
    assert records["m000003"]["sha256_from"] == "received content"
    event = next(iter(read_timeline(folder / "timeline.json").events))[0]
    assert event["imported_from"]["member"] == "logs/events.jsonl"
    assert (folder / "artifacts" / "m000003" / "host.bin").read_bytes() == b"\0" * 2000


def test_what_cannot_be_read_is_named_and_the_rest_is_bundled(tmp_path):
    content = bytearray(zipped(**{"good.txt": b"good", "bad.txt": b"evidence " * 50}))
    content[content.index(b"bad.txt") + 12] ^= 0xFF  # within the packed bytes
    raw = bytes(content)
    made = bundled(delivered(raw, "damaged.zip"))
    assert made.complete is False
    assert [gap["path"] for gap in made.missing] == ["artifacts/m000002/bad.txt"]
    folder = unpacked(made, tmp_path / "out")
    assert (folder / "artifacts" / DELIVERED / "damaged.zip").read_bytes() == raw
    assert (folder / "artifacts" / "m000001" / "good.txt").read_bytes() == b"good"


def test_a_bad_record_is_named_in_missing_by_its_place(tmp_path):
    made = bundled(delivered(lines(EVE) + b'\n{"event_type": NaN}\n' + lines(EVE), "eve.json"))
    assert [gap["source"] for gap in made.missing] == ["timeline"]
    assert "record 2, byte" in made.missing[0]["reason"]
    assert "line 2, field event_type: NaN" in made.missing[0]["reason"]


def test_an_archive_that_is_refused_as_a_whole_is_one_artifact_and_the_bundle_says_why(tmp_path):
    made = bundled(delivered(zipped(a=b"x" * 100)[:-30], "cut.zip"))
    folder = unpacked(made, tmp_path / "out")
    assert [record["artifact_id"] for record, _ in iter_array(folder / "artifacts.json")] == [DELIVERED]
    refused = read_timeline(folder / "timeline.json").header["collection"]["refused"]
    assert refused["code"] == "archive_damaged"


def test_a_password_is_used_once_and_is_nowhere_else(tmp_path):
    from tests.bundles.intake.test_archives_zip import aes_zip

    intake = delivered(aes_zip(b"hello", b"secret evidence"), "sealed.zip")
    assert preview_of(intake)["encrypted"]["named"] == ["data.txt"]
    made = bundled(intake, password="hello")
    folder = unpacked(made, tmp_path / "out")
    assert (folder / "artifacts" / "m000001" / "data.txt").read_bytes() == b"secret evidence"
    store.sweep()
    assert not (store.folder_of(intake.intake_id) / "password").exists()
    said = json.dumps(list(Event.objects.values_list("details", flat=True))) + json.dumps(made.missing)
    assert "hello" not in said
    without = bundled(delivered(aes_zip(b"other", b"secret"), "sealed.zip"))
    assert "no password was given" in without.missing[0]["reason"]


def test_a_file_of_no_known_kind_is_one_artifact(tmp_path):
    made = bundled(delivered(b"\x7fELF whatever", "tool"))
    assert made.complete
    folder = unpacked(made, tmp_path / "out")
    assert (folder / "artifacts" / DELIVERED / "tool").read_bytes() == b"\x7fELF whatever"


def test_a_table_that_is_not_understood_is_read_by_a_mapping(tmp_path):
    intake = delivered(b"When,What,Box\n2024-01-02 03:04:05Z,Opened,DC01\n", "table.csv")
    assert preview_of(intake)["columns"] == ["When", "What", "Box"]
    made = bundled(intake, mapping={"timestamp": "When", "title": "What", "host": "Box"})
    event = next(iter(read_timeline(unpacked(made, tmp_path / "out") / "timeline.json").events))[0]
    assert (event["timestamp"], event["title"], event["When"]) == (
        "2024-01-02 03:04:05Z",
        "Opened",
        "2024-01-02 03:04:05Z",
    )
