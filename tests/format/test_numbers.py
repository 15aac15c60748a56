"""The numbers of a record keep their text wherever the record is read and written."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bundles.format.model.canonical import JsonNumber, canonical_json, canonical_record, strict_loads
from bundles.format.model.records import ARTIFACT_ORDER, parse_record, sort_key
from bundles.sources.jsonstream import JsonStream

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?", fullmatch=True)
unhurried = settings(max_examples=300, deadline=None)


@given(text=NUMBERS)
@example("1486215887.584922537")
@example("1.10")
@example("9007199254740993.5")
@example("-0")
@example("-0.0")
@example("1e+16")
@example("1E400")
@example("9" * 5000)
@example("340282366920938463463374607431768211455")
@unhurried
def test_any_number_keeps_its_text_in_a_record(text):
    line = f'{{"a":{text},"b":[{text},{{"c":{text}}}],"d":"1.10"}}'
    assert canonical_json(strict_loads(line, floats=True)).decode() == line
    assert canonical_record(parse_record(line.encode())).decode() == line


@given(text=NUMBERS, cut=st.integers(1, 60), blank=st.sampled_from(["", " ", "\n"]))
@example("1.5", 6, "")
@example("12e+3", 8, "")
@example("-0", 6, "")
@unhurried
def test_a_number_keeps_its_text_however_the_answer_of_a_source_is_cut(text, cut, blank):
    whole = f'{{"n":{text}{blank},"list":[{text}]}}'.encode()
    stream = JsonStream(iter([whole[:cut], whole[cut:], b""]))
    found = {key: list(stream.elements(6000)) if key == "list" else stream.value(6000) for key in stream.members()}
    stream.end()
    assert canonical_json(found).decode() == f'{{"list":[{text}],"n":{text}}}'


@given(text=NUMBERS)
@unhurried
def test_a_number_that_python_would_write_differently_is_not_a_python_number(text):
    value = strict_loads(text, floats=True)
    assert Decimal(str(value)) == Decimal(text) or isinstance(value, JsonNumber)
    if isinstance(value, JsonNumber):
        assert str(value) == text
        with pytest.raises(TypeError):
            json.dumps({"a": value})
    else:
        assert json.dumps(value) == text


def test_the_order_of_records_goes_by_the_text_of_a_number():
    record = parse_record('{"artifact_id":true,"collected_at":1.10}')
    assert sort_key(record, ARTIFACT_ORDER) == ("1.10", "true")


def test_numbers_with_other_text_are_other_numbers():
    assert strict_loads("1.10", floats=True) == strict_loads("1.10", floats=True)
    assert strict_loads("1.10", floats=True) != strict_loads("1.100", floats=True)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1", "1_0"])
def test_what_is_no_number_of_json_is_refused(text):
    with pytest.raises(ValueError, match=r"JSON|Expecting|Extra"):
        strict_loads(f"[{text}]", floats=True)
