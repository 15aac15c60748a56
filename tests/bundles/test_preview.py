"""A preview is bounded whatever the file is, and shows it without changing what it says."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from bundles.artifacts import preview
from bundles.artifacts.preview import BINARY, EMPTY, JSON, TABLE, TEXT, Preview, preview_of


def of(raw: bytes, name: str = "file") -> Preview:
    return preview_of(BytesIO(raw), len(raw), name)


@pytest.mark.parametrize(
    ("raw", "name", "form"),
    [
        (b"", "x.csv", EMPTY),
        (b"plain", "x", TEXT),
        ("Größe\n".encode("utf-16"), "x.txt", TEXT),
        ("Gr\xf6\xdfe of many words and of others too\n".encode("latin-1"), "x.txt", TEXT),
        (b"\x7fELF\x01\x00\x00", "x.csv", BINARY),
        (bytes(range(128, 256)), "x", BINARY),
        (b"a\x01\x02\x03\x04", "x", BINARY),
        (b'{"a":1}', "x", JSON),
        (b"  [1, 2]\n", "x.log", JSON),
        (b'{"a":1} {"b":2}', "x.json", TEXT),
        (b"[" * 60_000, "x.json", TEXT),
        (b"a,b\n1,2\n", "x.csv", TABLE),
        (b"a;b\n1;2\n", "X.CSV", TABLE),
        (b"a\tb\n", "x.tsv", TABLE),
        (b"one column\n", "x.csv", TEXT),
        (b"a,b\n", "x.txt", TEXT),
    ],
)
def test_the_form_follows_the_bytes_and_for_tables_the_name(raw: bytes, name: str, form: str) -> None:
    assert of(raw, name).form == form


@pytest.mark.parametrize(
    "raw",
    [
        b"x" * 10_000_000,
        b"\n" * 10_000_000,
        b"a," * 5_000_000,
        b"a,b\n" * 2_000_000,
        b'"' + b"a\n" * 1_000_000,
        b"\x00" * 10_000_000,
        "\u0416".encode() * 5_000_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b"[" * 900 + b",".join([b"1"] * 20_000) + b"]" * 900,
    ],
    ids=range(9),
)
def test_whatever_the_file_is_little_of_it_is_shown_and_the_page_says_so(raw: bytes) -> None:
    for name in ("x.csv", "x.txt"):
        shown = of(raw, name)
        assert len(shown.text) <= 30 * preview.MOST_BYTES
        assert shown.form == JSON or shown.text.count("\n") < preview.MOST_LINES
        assert len(shown.rows) <= preview.MOST_ROWS
        assert all(len(row) <= preview.MOST_COLUMNS for row in (shown.head, *shown.rows))
        assert all(len(cell) <= preview.MOST_CELL + 1 for row in (shown.head, *shown.rows) for cell in row)
        assert len(shown.dump) * preview.DUMPED_ROW <= preview.DUMPED_BYTES
        assert shown.notes


def test_a_character_that_the_limit_cuts_is_left_out() -> None:
    raw = b"x" + "\u0416".encode() * preview.MOST_BYTES
    shown = of(raw)
    assert shown.form == TEXT
    assert set(shown.text) == {"x", "\u0416"}
    assert shown.notes == [f"This is the beginning: the first {preview.MOST_BYTES:,} of {len(raw):,} bytes."]


def test_indenting_keeps_numbers_repeated_keys_and_strings_as_they_are() -> None:
    raw = '{"n":1e400,"n":1.10,"s":"a,b:{[\\"}]\\u202e","empty":{},"list":[],"deep":[[1,-0]]}'
    shown = of(raw.encode())
    assert shown.form == JSON
    assert "".join(shown.text.split()) == raw
    assert json.loads(shown.text, object_pairs_hook=list) == json.loads(raw, object_pairs_hook=list)
    assert '\n  "deep": [\n    [\n      1,\n      -0\n    ]\n  ]\n}' in shown.text


def test_a_table_keeps_line_breaks_in_cells_and_pads_short_rows() -> None:
    shown = of(b'a,b,c\n"1\n2",x\n')
    assert shown.form == TEXT  # only the name tells a table
    shown = of(b'a,b,c\n"1\n2",x\n', "x.csv")
    assert (shown.head, shown.rows) == (["a", "b", "c"], [["1\n2", "x", ""]])


def test_line_ends_of_one_kind_are_shown_as_such_and_others_stay_in_sight() -> None:
    assert (of(b"a\r\nb\r\n").text, of(b"a\r\nb\r\n").notes) == ("a\nb\n", ["All lines end with CR LF."])
    for mixed in ("a\r\nb\n", "a\rb"):
        assert (of(mixed.encode()).text, of(mixed.encode()).notes) == (mixed, [])


def test_bytes_that_are_not_text_are_shown_by_their_number() -> None:
    shown = of("Gr\xf6\xdfe of many words and more of them\n".encode("latin-1"))
    assert r"Gr\xf6\xdfe" in shown.text
    assert "shown as" in shown.notes[0]
