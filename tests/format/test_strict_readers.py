"""Properties of the readers of untrusted bytes: strict JSON, tar headers, and the manifest's fields."""

from __future__ import annotations

import copy
import io
import json
import string
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bundles.format.model import manifest, paths
from bundles.format.model.canonical import canonical_json, strict_loads
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.limits import DEFAULT_LIMITS
from bundles.format.model.signature import read_signature
from bundles.format.reading import legacy, tarheader
from bundles.format.reading.tarstream import Member, TarStream
from tests.support.format_builders import SAMPLE, canonical, fields_of, hashed, signed

unhurried = settings(max_examples=150, deadline=None)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=15
)
ODD: tuple[Any, ...] = (None, True, 0, -1, 2**63, 0.5, "", "x", "\ud800", "0" * 64, [], [[]], {}, {"a": 1}, [{}])


@given(value=VALUES)
@unhurried
def test_canonical_json_is_read_back_equal_and_is_its_own_canonical_form(value):
    raw = canonical_json(value)
    assert strict_loads(raw, floats=False) == value
    assert canonical_json(strict_loads(raw, floats=False)) == raw
    assert raw.isascii()
    assert b"\n" not in raw


@given(value=VALUES, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
@unhurried
def test_any_other_spelling_of_a_value_is_read_as_the_same_value(value, indent, ascii_only):
    assert strict_loads(json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(), floats=False) == value


@given(members=st.dictionaries(TEXTS, LEAVES, min_size=1, max_size=4), other=LEAVES, data=st.data())
@unhurried
def test_an_object_that_has_a_key_twice_is_refused_wherever_it_stands(members, other, data):
    again = data.draw(st.sampled_from(sorted(members)))
    pairs = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in members.items()]
    pairs.insert(data.draw(st.integers(0, len(pairs))), f"{json.dumps(again)}:{json.dumps(other)}")
    for spelling in ("{%s}", '[{"a":{%s}}]'):
        with pytest.raises(ValueError, match="twice"):
            strict_loads(spelling % ",".join(pairs), floats=False)


@given(raw=st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:0123456789.eE+-truefalsn\\u \n'), max_size=40))
@unhurried
def test_strict_reading_of_any_bytes_returns_or_raises_value_error(raw):
    try:
        value = strict_loads(raw, floats=False)
    except ValueError:
        return
    assert value == json.loads(raw)


ARTIFACT_PATHS = st.builds(
    paths.artifact_path,
    st.text(st.sampled_from(string.ascii_letters + "019._-"), min_size=1, max_size=128).filter(paths.valid_artifact_id),
    st.text(st.characters(), max_size=120),
)
PATHS = ARTIFACT_PATHS | st.sampled_from(paths.DATA_MEMBERS)
SIZES = st.integers(0, 4096) | st.sampled_from([8**11 - 1, 8**11, 8**11 + 1, 2**40])


def first_member(header: bytes) -> Member | None:
    return TarStream(iter([header + bytes(1024)]), DEFAULT_LIMITS).next_member()


@given(path=PATHS, size=SIZES)
@unhurried
def test_a_prescribed_header_is_read_back_by_us_and_by_pythons_tarfile(path, size):
    header = tarheader.member_header(path, size)
    assert first_member(header) == Member(path, size, canonical=True)
    with tarfile.open(fileobj=io.BytesIO(header)) as archive:
        entry = archive.next()
        assert entry is not None
        assert (entry.name, entry.size, entry.isreg(), entry.mode, entry.mtime) == (path, size, True, 0o644, 0)


@given(path=PATHS, size=SIZES, data=st.data())
@unhurried
def test_a_header_with_any_other_bytes_is_refused_or_marked_as_not_canonical(path, size, data):
    header = bytearray(tarheader.member_header(path, size))
    for _ in range(data.draw(st.integers(1, 3))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    last = len(header) - 512
    if data.draw(st.booleans()):  # so that more than the checksum is put to the test
        header[last + 148 : last + 156] = b" " * 8
        header[last + 148 : last + 156] = b"%06o\0 " % sum(header[last:])
    assume(bytes(header) != tarheader.member_header(path, size))
    with suppress(BundleRejectedError):
        found = first_member(bytes(header))
        assert found is None or not found.canonical or tarheader.member_header(found.path, found.size) == bytes(header)


def places(tree: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value of a JSON tree."""
    yield where
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from places(value, (*where, key))


def replaced(tree: Any, where: tuple[Any, ...], value: Any) -> Any:
    if not where:
        return value
    changed = copy.deepcopy(tree)
    inner = changed
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    return changed


def whole_manifest() -> dict[str, Any]:
    moment = "2026-01-31T12:00:00.000000Z"
    source = {"fetched_at": moment, "record_count": 1, "sha256": "0" * 64, "url": "http://a.test/"}
    counts = {"file_count": len(SAMPLE), "total_size": sum(map(len, SAMPLE.values()))}
    metadata = {"compression": "zstd", "generator": "g", "sources": {"alerts": source}} | counts
    return fields_of(metadata=metadata, missing=[{"path": "artifacts/a/x", "reason": "gone"}], complete=False)


def old_manifest() -> dict[str, Any]:
    fields = {name: value for name, value in whole_manifest().items() if name != "chunk_size"} | {"version": "1.0.0"}
    fields["files"] = [{key: value for key, value in entry.items() if key != "chunks"} for entry in fields["files"]]
    part = {"index": 0, "offset": 0, "path": "artifacts/a-3/disk.img", "sha256": "0" * 64, "size": 2560}
    return hashed(fields | {"chunks": [part]})


def cosigned() -> dict[str, Any]:
    signature: dict[str, Any] = json.loads(signed(fields_of())[1])
    return signature | {"cosignatures": [dict(signature)]}


@pytest.mark.parametrize(
    ("whole", "read"),
    [
        (whole_manifest, lambda fields: manifest.check_consistency(manifest.read(fields, DEFAULT_LIMITS), fields)),
        (old_manifest, lambda fields: legacy.check_consistency(legacy.read(fields, DEFAULT_LIMITS), fields)),
        (cosigned, lambda fields: read_signature(canonical(fields))),
    ],
    ids=["manifest", "manifest 1.0.0", "signature"],
)
def test_a_field_of_any_type_is_read_or_refused_with_a_code_and_never_crashes(whole, read):
    fields = whole()
    read(fields)
    tried = 0
    for where in places(fields):
        if not where:
            continue  # that the whole is an object is seen before
        for value in ODD:
            tried += 1
            with suppress(BundleRejectedError):
                read(replaced(fields, where, value))
    assert tried > 100
