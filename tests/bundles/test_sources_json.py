"""Strict JSON from a stream: what is read, what is refused, and where an input was cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bundles.format.model.canonical import RECORD_DEPTH
from bundles.sources.jsonstream import EndedEarlyError, JsonStream, MalformedError

DOCUMENT = {
    "a": [{"n": 1, "t": "é\U0001f600", "lone": "\ud83d"}, {"n": -2.5e-3}, {}, [], None, True, False, 'x\n"\\'],
    "big": 2**70,
    "empty": {},
}


def read(raw: bytes, step: int = 7, limit: int = 1000) -> dict[str, object]:
    stream = JsonStream(pieces(raw, step))
    found: dict[str, object] = {}
    for key in stream.members():
        found[key] = list(stream.elements(limit)) if stream.peek() == "[" else stream.value(limit)
    stream.end()
    return found


def pieces(raw: bytes, step: int) -> Iterator[bytes]:
    return (raw[at : at + step] for at in range(0, len(raw), step))


@pytest.mark.parametrize("step", [1, 2, 3, 64, 100_000])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_it_reads_the_same_however_the_bytes_arrive(step, ascii_only):
    document = DOCUMENT if ascii_only else json.loads(json.dumps(DOCUMENT).replace('\\ud83d"', '"'))
    raw = json.dumps(document, ensure_ascii=ascii_only, indent=2).encode()
    assert read(raw, step) == document


def test_a_number_split_between_pieces_stays_whole():
    stream = JsonStream(iter([b"[12", b"34, 5", b"6]"]))
    assert list(stream.elements(10)) == [1234, 56]


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize(
    "cut",
    [b"", b"{", b'{"a"', b'{"a":', b'{"a": [', b'{"a": [{"b": "c', b'{"a": [{"b": 1', b'{"a": [1,', b'{"a": tru',
     b'{"a": ["\\u00', b'{"a": ["\\', b'{"a": 1', b'{"a": "\xc3'],
)  # fmt: skip
def test_a_truncated_document_is_distinguished_from_a_wrong_one(cut, step):
    with pytest.raises(EndedEarlyError):
        read(cut, step)


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize(
    "wrong",
    [b"[]", b"<html>", b"null", b'{"a": 1} x', b'{"a": 1}{}', b'{"a": 1, "a": 2}', b'{"a": {"b": 1, "b": 1}}',
     b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": [Infinity]}', b'{"a": {"b": NaN}}', b"{a: 1}", b"{'a': 1}",
     b'{"a": 01}', b'{"a": "tab\there"}', b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b"\xff\xfe{\0}\0",
     b'{"a": [1 2]}', b'{"a": [1,,2]}', b'{"a" 1}', b'{"a": wrong}', b"{1: 2}"],
)  # fmt: skip
def test_what_is_not_strict_json_is_refused(wrong, step):
    with pytest.raises(MalformedError) as raised:
        read(wrong, step, limit=10_000)
    assert not isinstance(raised.value, EndedEarlyError)


def test_nesting_is_bounded():
    assert read(b'{"a": {"b": ' + b"[" * (RECORD_DEPTH - 2) + b"]" * (RECORD_DEPTH - 2) + b"}}")["a"]
    for depth in (RECORD_DEPTH, 5_000, 1_000_000):
        with pytest.raises(MalformedError, match="nested"):
            read(b'{"a": {"b": ' + b"[" * depth + b"]" * depth + b"}}", 100_000, limit=10_000_000)


def test_a_value_beyond_its_bound_is_refused_without_reading_on():
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield b'{"a": ["'
        while True:
            taken += 1
            yield b"x" * 1024

    stream = JsonStream(endless())
    next(stream.members())
    with pytest.raises(MalformedError, match="larger"):
        list(stream.elements(10_000))
    assert taken < 200
    with pytest.raises(MalformedError, match="larger"):
        read(b'{"a": "' + b"x" * 2000 + b'"}', 100_000)
