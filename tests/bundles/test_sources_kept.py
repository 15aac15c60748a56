"""What an attempt fetched serves the next one: nothing is asked for twice, and nothing is believed that differs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundles.format.model.records import iter_array
from bundles.sources import faults
from bundles.sources.adapters.ransomeye.adapter import RansomEyeAdapter
from bundles.sources.collect import Evidence, Fetched
from bundles.sources.live import LiveSource
from bundles.storage import journal
from bundles.storage.journal import BusyError, Journal
from jobs.errors import CancelledError, PermanentError, RetryableError
from tests.support.upstreams import CONTENTS, Upstreams, says, small_incident

CONTENT = CONTENTS["a-1"][1]


@pytest.fixture
def upstreams(tmp_path):
    with Upstreams([small_incident(tmp_path / "data")]) as running:
        yield running


@pytest.fixture
def staging(tmp_path):
    made = tmp_path / "staging"
    made.mkdir()
    return made


def whole(evidence: Evidence) -> dict[str, bytes]:
    """Every file that would be packed."""
    files = {name: file.read_bytes() for name, file in evidence.members.items()}
    for artifact in evidence.artifacts:
        with artifact.open() as opened:
            files[artifact.artifact_id] = opened.read()
    return files


def with_artifacts(source: LiveSource, **changes: Any) -> LiveSource:
    """The source with other settings of the artifacts' system."""
    system = replace(source.profile.systems[faults.ARTIFACTS], **changes)
    return replace(
        source, profile=replace(source.profile, systems={**source.profile.systems, faults.ARTIFACTS: system})
    )


def one_artifact_fails(upstreams: Upstreams, staging: Path) -> None:
    """An attempt that reads everything but one artifact, over one connection, the largest first."""
    upstreams.answers["forensic"] = lambda exchange: "a-2" in exchange.path and says(b"", 500)(exchange)
    with pytest.raises(RetryableError):
        with_artifacts(upstreams.source(staging), connections=1).collect(
            "case-7", staging, allow_partial=False, on_progress=lambda _: None, check=lambda: None
        )
    upstreams.answers.clear()
    upstreams.asked.clear()


def test_the_next_attempt_asks_only_for_what_the_last_one_did_not_get(upstreams, staging, tmp_path):
    one_artifact_fails(upstreams, staging)
    again = upstreams.collect(staging)
    assert upstreams.asked == ["GET /api/v1/artifacts/a-2/content"]
    (tmp_path / "new").mkdir()
    anew = upstreams.collect(tmp_path / "new")
    assert whole(again) == whole(anew)
    assert again.counts == anew.counts
    times = {"fetched_at": ""}
    assert {name: entry | times for name, entry in again.provenance.items()} == {
        name: entry | times for name, entry in anew.provenance.items()
    }


def test_everything_that_was_fetched_is_taken_without_a_request(upstreams, staging):
    first = whole(upstreams.collect(staging))
    upstreams.asked.clear()
    reports: list[Fetched] = []
    assert whole(upstreams.collect(staging, on_progress=reports.append)) == first
    assert upstreams.asked == []
    assert reports[-1].records > 1_000


@pytest.mark.parametrize("change", ["allow_partial", "incident's id there", "url", "options of paging"])
def test_what_was_kept_for_another_request_is_dropped(upstreams, staging, change):
    upstreams.collect(staging)
    upstreams.asked.clear()
    source = upstreams.source(staging)
    if change == "incident's id there":
        source = replace(source, refs={"timeline": "case-0"})
    elif change != "allow_partial":
        fields = {"url": {"url": upstreams.url("killchain").replace("127.0.0.1", "localhost")}}
        changed = fields.get(change, {"page_records": 100})
        systems = {
            part: replace(system, **changed) if part == faults.TIMELINE else system
            for part, system in source.profile.systems.items()
        }
        source = replace(source, profile=replace(source.profile, systems=systems))
    unknown_there = pytest.raises(PermanentError) if change == "incident's id there" else nullcontext()
    with unknown_there:
        source.collect(
            "case-7", staging, allow_partial=change == "allow_partial", on_progress=lambda _: None, check=lambda: None
        )
    assert any("timeline" in asked for asked in upstreams.asked)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes() + b"x"),
        lambda file: file.write_bytes(b"x" + file.read_bytes()[1:]),
        lambda file: file.unlink(),
    ],
    ids=["shorter", "longer", "changed", "gone"],
)
def test_a_kept_file_that_differs_from_the_journal_is_fetched_anew(upstreams, staging, damage: Callable[[Path], None]):
    first = whole(upstreams.collect(staging))
    kept = [path for path in staging.rglob("*") if path.is_file() and path.name != journal.NAME and path.stat().st_size]
    assert len(kept) >= 5
    for file in kept:
        damage(file)
        upstreams.asked.clear()
        assert whole(upstreams.collect(staging)) == first
        # What follows a content that is whole is cut off.
        assert upstreams.asked or file.stat().st_size == len(CONTENT), file.name


def test_a_journal_that_ends_anywhere_or_is_damaged_costs_requests_and_no_content(upstreams, staging, tmp_path):
    first = whole(upstreams.collect(staging))
    whole_journal = (staging / journal.NAME).read_bytes()
    ends = [at for at, byte in enumerate(whole_journal) if byte == ord("\n")]
    cases = [whole_journal[: end + more] for end in ends for more in (-7, 0, 1)]
    cases += [whole_journal.replace(b'"size":4', b'"size":5'), b"\0" * 99, b"\n\n", b"{}\n" + whole_journal]
    for number, damaged in enumerate(cases):
        copy = tmp_path / f"copy {number}"
        shutil.copytree(staging, copy)
        (copy / journal.NAME).write_bytes(damaged)
        assert whole(upstreams.collect(copy)) == first


def cut_for_good(upstreams: Upstreams, staging: Path, tag: str) -> None:
    """An attempt that gets 300,000 bytes of a-1 and is then cancelled."""
    cut: list[int] = []

    def answer(exchange):
        if "a-1" not in exchange.path:
            return False
        exchange.close_connection = True
        if not cut:
            exchange.send_head(200, len(CONTENT), "application/octet-stream", ETag=tag)
            exchange.wfile.write(CONTENT[:300_000])
        cut.append(1)
        return True

    def check() -> None:
        if len(cut) > 1:
            raise CancelledError("stop")

    upstreams.answers["forensic"] = answer
    with pytest.raises(CancelledError):
        upstreams.collect(staging, check=check)


@pytest.mark.parametrize("same", [True, False], ids=["the same tag", "another tag"])
def test_a_part_is_continued_if_its_tag_is_the_same_and_read_anew_if_not(upstreams, staging, same):
    cut_for_good(upstreams, staging, '"v1"')
    sent: list[tuple[str | None, int]] = []

    def answer(exchange):
        if "a-1" not in exchange.path:
            return False
        wanted = exchange.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and same else 0
        sent.append((exchange.headers.get("If-Range"), start))
        fields = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
        tag = '"v1"' if same else '"v2"'
        exchange.send_head(206 if start else 200, len(CONTENT) - start, "application/octet-stream", ETag=tag, **fields)
        exchange.wfile.write(CONTENT[start:])
        return True

    upstreams.answers["forensic"] = answer
    assert whole(upstreams.collect(staging))["a-1"] == CONTENT
    ((if_range, start),) = sent
    assert if_range == '"v1"'
    assert start > 200_000 if same else start == 0


def test_two_attempts_never_have_one_folder_open(staging):
    with Journal(staging, "request"):
        assert journal.is_open(staging)
        with pytest.raises(BusyError):
            Journal(staging, "request")
    assert not journal.is_open(staging)
    Journal(staging, "request").__exit__(None, None, None)


def test_an_attempt_that_finds_the_folder_in_use_fails_for_now(upstreams, staging, monkeypatch):
    monkeypatch.setattr("bundles.sources.live.BUSY_S", 0)
    with Journal(staging, "request"), pytest.raises(RetryableError, match="Another attempt"):
        upstreams.collect(staging)


def test_records_without_size_and_digest_get_those_of_the_received_content(upstreams, staging, monkeypatch):
    listed = RansomEyeAdapter.artifacts

    def without(self, wanted):
        part, records = listed(self, wanted)
        part.member.write_bytes(
            b'[{"artifact_id":"a-1","name":"memory dump.bin"},'
            b'{"artifact_id":"a-3","name":"d","sha256":null,"size":4}]\n'
        )
        kept = [replace(record, size=None, sha256=None) for record in records if record.artifact_id == "a-1"]
        return part, kept + [replace(record, sha256=None) for record in records if record.artifact_id == "a-3"]

    monkeypatch.setattr(RansomEyeAdapter, "artifacts", without)
    for _ in range(2):  # the second time from what was kept
        evidence = upstreams.collect(staging)
        found = {record["artifact_id"]: record for record, _ in iter_array(evidence.members["artifacts.json"])}
        told = {artifact.artifact_id: (artifact.size, artifact.sha256) for artifact in evidence.artifacts}
        assert told["a-1"][0] == len(CONTENT)
        for name in ("a-1", "a-3"):
            assert (found[name]["size"], found[name]["sha256"]) == told[name]
            assert found[name]["sha256_from"] == "received content"


def test_artifacts_are_fetched_over_as_many_connections_as_the_system_allows(upstreams, staging):
    together = threading.Barrier(3, timeout=20)

    def answer(exchange):
        if exchange.path.endswith("/content"):
            together.wait()
        return False

    upstreams.answers["forensic"] = answer
    assert whole(upstreams.collect(staging))["a-1"] == CONTENT
    evidence = upstreams.collect(staging)
    assert [artifact.artifact_id for artifact in evidence.artifacts] == ["a-1", "a-2", "a-3"]
