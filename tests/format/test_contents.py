"""Step 6 of the reading plan: every member listed, every size and digest as signed; and the list of codes itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import pytest

from bundles.format.model.errors import CODES, STEPS, BundleRejectedError
from tests.format import test_container, test_manifest, test_members, test_signatures
from tests.support.format_builders import (
    SAMPLE,
    crafted,
    fields_of,
    gzipped,
    member,
    padded,
    pax,
    pax_record,
    report_of,
    signed,
    tar_of,
    ustar,
    verdict,
    zstd,
)

NOTE, BIG = "artifacts/a-1/note.txt", "artifacts/a-3/disk.img"


@cache
def pair() -> tuple[bytes, bytes]:
    return signed(fields_of())


def holding(files: Mapping[str, bytes], extra: bytes = b"") -> bytes:
    """The signed manifest of the sample with other files."""
    return zstd(tar_of(pair(), files, extra=extra))


def flipped(path: str, position: int) -> dict[str, bytes]:
    data = bytearray(SAMPLE[path])
    data[position] ^= 1
    return SAMPLE | {path: bytes(data)}


def without(path: str) -> dict[str, bytes]:
    return {name: data for name, data in SAMPLE.items() if name != path}


def wrong_file_digest() -> bytes:
    return crafted(change=lambda fields: fields["files"][4].update(sha256="1" * 64))


def wrong_chunk_digest() -> bytes:
    return crafted(change=lambda fields: fields["files"][4]["chunks"][2].update(sha256="1" * 64))


CASES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a timeline of another incident": (
        "incident_mismatch",
        lambda: crafted(SAMPLE | {"timeline.json": b'{"events":[],"incident_id":"incident-8"}'}),
    ),
    "a changed byte": ("file_hash_mismatch", lambda: holding(flipped(NOTE, 3))),
    "a changed data member": ("file_hash_mismatch", lambda: holding(flipped("alerts.json", 0))),
    "the wrong digest for a file": ("file_hash_mismatch", wrong_file_digest),
    "a changed byte in the first chunk": ("chunk_hash_mismatch", lambda: holding(flipped(BIG, 0))),
    "a changed byte in the last chunk": ("chunk_hash_mismatch", lambda: holding(flipped(BIG, 2559))),
    "the wrong digest for a chunk": ("chunk_hash_mismatch", wrong_chunk_digest),
    "two files exchanged": (
        "size_mismatch",
        lambda: holding(SAMPLE | {NOTE: SAMPLE["alerts.json"], "alerts.json": SAMPLE[NOTE]}),
    ),
    "a byte more": ("size_mismatch", lambda: holding(SAMPLE | {NOTE: SAMPLE[NOTE] + b"x"})),
    "a byte less": ("size_mismatch", lambda: holding(SAMPLE | {NOTE: SAMPLE[NOTE][:-1]})),
    "an empty file that is not": ("size_mismatch", lambda: holding(SAMPLE | {"artifacts/a-2/empty.bin": b"\0"})),
    "a file that nobody listed": ("member_unlisted", lambda: holding(SAMPLE, member("artifacts/a-9/x", b""))),
    "a file under another name": (
        "member_unlisted",
        lambda: holding(without(NOTE), member("artifacts/a-1/Note.txt", SAMPLE[NOTE])),
    ),
    "a file missing": ("member_missing", lambda: holding(without(NOTE))),
    "an empty file missing": ("member_missing", lambda: holding(without("artifacts/a-2/empty.bin"))),
    "a data member missing": ("member_missing", lambda: holding(without("timeline.json"))),
    "no payload at all": ("member_missing", lambda: holding({})),
}


@pytest.mark.parametrize("what", CASES)
def test_it_is_refused_with_its_code(what, tmp_path):
    code, make = CASES[what]
    assert verdict(make(), tmp_path) == code


def test_every_code_is_provoked_by_a_crafted_bundle():
    modules = (test_container, test_members, test_manifest, test_signatures)
    provoked = {code for cases in (CASES, *(module.CASES for module in modules)) for code, _ in cases.values()}
    with_tests_of_their_own = {
        "ratio_exceeded",
        "manifest_too_large",
        "not_a_regular_file",
        "signatures_insufficient",
    }
    assert provoked | with_tests_of_their_own == set(CODES)
    assert set(CODES.values()) == set(STEPS)


def test_a_code_that_is_not_listed_cannot_be_raised():
    with pytest.raises(KeyError):
        BundleRejectedError("made_up", "x")


def test_a_damaged_chunk_is_named_by_its_range(tmp_path):
    error = report_of(holding(flipped(BIG, 1500)), tmp_path).error
    assert error is not None
    assert error.detail == f"Bytes 1000 to 1999 of {BIG} do not have their signed SHA-256."


def test_a_size_only_in_the_header_is_not_trusted(tmp_path):
    note = SAMPLE[NOTE]
    longer = ustar(NOTE.encode(), 600) + padded(note + bytes(586))
    assert verdict(holding(without(NOTE), longer), tmp_path) == "size_mismatch"
    hidden = pax(pax_record("size", b"14")) + ustar(NOTE.encode(), 600) + padded(note)
    assert verdict(holding(without(NOTE), hidden), tmp_path) == "tar_header_invalid"


def test_the_payload_may_come_before_the_manifest(tmp_path):
    payload = b"".join(member(path, data) for path, data in SAMPLE.items())
    tar = payload + member("manifest.json", pair()[0]) + member("manifest.sig", pair()[1]) + bytes(1024)
    assert verdict(gzipped(tar), tmp_path) == "verified"
    wrong = payload.replace(b"what was seen", b"what was lost")
    assert verdict(gzipped(wrong + tar[len(payload) :]), tmp_path) == "file_hash_mismatch"


@pytest.mark.parametrize(
    ("path", "position", "code"), [(NOTE, 3, "file_hash_mismatch"), (BIG, 2559, "chunk_hash_mismatch")]
)
def test_of_two_faults_the_first_in_the_file_is_named_though_digests_are_compared_later(path, position, code, tmp_path):
    unlisted = member("artifacts/a-9/more.txt", b"unlisted")
    assert verdict(holding(flipped(path, position), unlisted), tmp_path) == code
    assert verdict(holding(SAMPLE, unlisted), tmp_path) == "member_unlisted"
