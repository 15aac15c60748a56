"""A bundle contains the timeline of its own incident; readers and writer refuse another incident's."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from bundles.format.model.errors import BundleRejectedError, CannotCheckError, CannotWriteError
from bundles.format.model.timeline_incident import TimelineIncident
from bundles.format.reading.extract import extract_bundle
from bundles.format.reading.single import extract_file, match_file
from tests.support.format_builders import INCIDENT, SAMPLE, crafted, ring, verdict, written

OTHER = SAMPLE | {"timeline.json": b'{"event_count":0,"events":[],"incident_id":"incident-8"}'}
TEXTS = ("incident_id", "timeline", INCIDENT, '"', "\\", "{", "]}", 'a"b', "\u00ed", "", "\\\\")
SAME = {
    "no incident": b'{"events":[]}',
    "null": b'{"events":[],"incident_id":null}',
    "escapes": b'{"incident\\u005fid":"incident\\u002d7"}',
    "blanks": b'\n{ "incident_id" :\t"incident-7" , "events" : [ ] }',
    "others in events": b'{"events":[{"incident_id":"x","timeline":{"incident_id":"y"}}],"incident_id":"incident-7"}',
    "others in strings": b'{"a":"\\"incident_id\\":\\"x\\"","b":"incident_id","c":"x"}',
    "an envelope": b'{"timeline":{"events":[{"a":[{}]}],"incident_id":"incident-7"}}',
    "an array named timeline": b'{"timeline":[{"incident_id":"x"}]}',
    "an array": b'[{"incident_id":"x"}]',
}
ANOTHER = {
    "before the events": b'{"incident_id":"x","events":[]}',
    "behind nested events": b'{"events":[{"a":[{"b":"]}"}]},{}],"incident_id":"x"}',
    "in an envelope": b'{"timeline":{"events":[],"incident_id":"x"}}',
    "in an envelope and right outside": b'{"incident_id":"incident-7","timeline":{"incident_id":"x"},"events":[]}',
    "right and then another": b'{"incident_id":"incident-7","incident_id":"x"}',
    "another and then right": b'{"incident_id":"x","incident_id":"incident-7"}',
    "in an escaped key": b'{"incident\\u005fid":"x"}',
    "a number": b'{"incident_id":7}',
    "an array": b'{"incident_id":["incident-7"]}',
    "nothing": b'{"incident_id":""}',
    "more than any id has": b'{"incident_id":"' + b"incident-7" * 500 + b'"}',
}


def names_another(text: bytes, piece_bytes: int) -> bool:
    found = TimelineIncident(INCIDENT)
    for start in range(0, len(text), piece_bytes):
        found.update(memoryview(text)[start : start + piece_bytes])
    return found.names_another


@pytest.mark.parametrize("piece_bytes", [1, 3, 1000])
def test_an_incident_id_is_found_at_any_position_and_split_anywhere(piece_bytes):
    assert [what for what, text in SAME.items() if names_another(text, piece_bytes)] == []
    assert [what for what, text in ANOTHER.items() if not names_another(text, piece_bytes)] == []


def value(draw: random.Random, depth: int) -> Any:
    kind = draw.randrange(6 if depth < 5 else 4)
    if kind < 4:
        return draw.choice((None, True, -1.5, 7, *TEXTS))
    if kind == 4:
        return [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {draw.choice(TEXTS): value(draw, depth + 1) for _ in range(draw.randrange(5))}


def test_it_agrees_with_a_parser_on_any_json():
    draw = random.Random(7)
    for _ in range(3000):
        whole = {draw.choice((*TEXTS, "events")): value(draw, 1) for _ in range(draw.randrange(5))}
        inner = whole.get("timeline")
        said = [whole.get("incident_id"), inner.get("incident_id") if isinstance(inner, dict) else None]
        text = json.dumps(whole, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, 1))).encode()
        assert names_another(text, draw.choice((1, 7, 5000))) is any(one not in (None, INCIDENT) for one in said), text


def test_bytes_that_are_not_json_are_ignored():
    draw = random.Random(7)
    parts = (b"{", b"}", b"[", b"]", b'"', b"\\", b":", b",", b"timeline", b"x")
    for _ in range(200):
        names_another(b"".join(draw.choices(parts, k=2000)), draw.choice((1, 7, 5000)))
        names_another(draw.randbytes(20_000), 5000)


def test_a_signed_bundle_with_another_incidents_timeline_is_refused_by_every_reading(tmp_path):
    assert verdict(crafted(OTHER), tmp_path) == "incident_mismatch"
    path = tmp_path / "bundle"
    readings = (
        lambda: extract_bundle(path, ring(), tmp_path / "out"),
        lambda: match_file(path, ring(), "timeline.json"),
        lambda: extract_file(path, ring(), "timeline.json", tmp_path / "out"),
    )
    for reading in readings:
        with pytest.raises(BundleRejectedError) as refusal:
            reading()
        assert refusal.value.code == "incident_mismatch"
    assert not (tmp_path / "out").exists()
    assert match_file(path, ring(), "alerts.json").entry.path == "alerts.json"
    with pytest.raises(CannotCheckError):
        match_file(path, ring(), "no.json")


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_the_writer_does_not_seal_what_readers_refuse(compression, tmp_path):
    with pytest.raises(CannotWriteError) as refusal:
        written(tmp_path / "bundle", OTHER, compression=compression)
    assert refusal.value.code == "input_invalid"
    assert list(tmp_path.iterdir()) == []
