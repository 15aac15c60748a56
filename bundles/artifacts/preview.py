"""Reads the beginning of a file as text, indented JSON, a table or a hex dump, for a page that shows it.

The bytes come from whoever made the evidence. Everything here is bounded, and nothing is interpreted beyond the
characters: the result is plain text, which the page escapes.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from dataclasses import dataclass, field
from typing import IO

from foundation.json_text import indented

KIB = 1024
MOST_BYTES = 64 * KIB
MOST_LINES = 2000
MOST_ROWS = 200
MOST_COLUMNS = 50
MOST_CELL = 500  # characters
DUMPED_BYTES = 4 * KIB
DUMPED_ROW = 16  # bytes
BINARY_SHARE = 20  # a file is binary if more than one in this many characters is a control or cannot be decoded

EMPTY, TEXT, JSON, TABLE, BINARY = "empty", "text", "json", "table", "binary"
DELIMITERS = {".csv": ",;\t|", ".tsv": "\t"}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_UNDECODED = re.compile(r"\\x[89a-f][0-9a-f]")


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The beginning of a file in a form that a page can show.

    Attributes:
        form: `empty`, `text`, `json`, `table` or `binary`.
        text: of `text` and `json`; lines end with a line feed.
        head: the first row of a `table`.
        rows: the other rows of a `table`.
        dump: of `binary`: (offset in hex, bytes in hex, the printable ASCII characters) a row.
        notes: what is not shown, or is shown differently, one sentence each.
    """

    form: str
    text: str = ""
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    dump: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def preview_of(file: IO[bytes], size: int, name: str) -> Preview:
    """Read the beginning of a file.

    Args:
        file: positioned at the first byte.
        size: its bytes.
        name: its file name; its suffix tells a table.
    """
    raw = file.read(MOST_BYTES)
    if not raw:
        return Preview(form=EMPTY)
    notes = [f"This is the beginning: the first {len(raw):,} of {size:,} bytes."] if size > len(raw) else []
    text = _decoded(raw, whole=size == len(raw), notes=notes)
    if text is None:
        return _binary(raw, size)
    suffix = name[-4:].lower()
    table = _table(text, DELIMITERS[suffix], whole=size == len(raw), notes=notes) if suffix in DELIMITERS else None
    if table is not None:
        return table
    as_json = _indented(text) if size == len(raw) else None
    if as_json is not None:
        return _lines(JSON, as_json, ["Only blanks and line breaks between the values are changed.", *notes])
    return _lines(TEXT, text, notes)


def _decoded(raw: bytes, *, whole: bool, notes: list[str]) -> str | None:
    """The bytes as text, or None if they are not text; adds to `notes` what is shown differently."""
    encoding = next((name for mark, name in _BOMS.items() if raw.startswith(mark)), "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)  # leaves out a character that the cut goes through
    undecoded = 0
    try:
        text = decoder().decode(raw, final=whole)
    except UnicodeDecodeError:
        text = decoder("backslashreplace").decode(raw, final=whole)
        undecoded = len(_UNDECODED.findall(text))
        notes.append(r"Bytes that are not text are shown as \x and two hex digits.")
    if (len(_CONTROLS.findall(text)) + undecoded) * BINARY_SHARE > len(text) or "\x00" in text:
        return None
    if encoding == "utf-16":
        notes.append("The file is encoded as UTF-16.")
    if text.count("\n") == text.count("\r\n") > 0:
        text = text.replace("\r\n", "\n")
        notes.append("All lines end with CR LF.")
    return text


def _lines(form: str, text: str, notes: list[str]) -> Preview:
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        text = "\n".join(lines[:MOST_LINES])
        notes.append(f"The first {MOST_LINES:,} lines are shown.")
    return Preview(form=form, text=text, notes=notes)


def _table(text: str, delimiters: str, *, whole: bool, notes: list[str]) -> Preview | None:
    """The text as a table; None if it has a single column or cannot be read as one."""
    first = text.split("\n", 1)[0]
    delimiter = max(delimiters, key=first.count)
    if delimiter not in first:
        return None
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error:
        return None
    if not whole and len(rows) > 1:
        rows.pop()  # cut in the middle
    notes = [*notes]
    if len(rows) > MOST_ROWS + 1:
        notes.append(f"The first {MOST_ROWS:,} rows are shown.")
    rows = rows[: MOST_ROWS + 1]
    widest = max(len(row) for row in rows)
    if widest > MOST_COLUMNS:
        notes.append(f"The first {MOST_COLUMNS} of up to {widest:,} columns are shown.")
    if any(len(cell) > MOST_CELL for row in rows for cell in row[:MOST_COLUMNS]):
        notes.append(f"Cells are cut after {MOST_CELL} characters.")
    width = min(widest, MOST_COLUMNS)
    shown = [[_cut(cell) for cell in row[:width]] + [""] * (width - len(row)) for row in rows]
    return Preview(form=TABLE, head=shown[0], rows=shown[1:], notes=notes)


def _cut(cell: str) -> str:
    return cell if len(cell) <= MOST_CELL else cell[:MOST_CELL] + "…"


def _indented(text: str) -> str | None:
    """JSON with each value on its own line; None if the text is not an object or array."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return indented(text)


def _binary(raw: bytes, size: int) -> Preview:
    dumped = raw[:DUMPED_BYTES]
    dump = []
    for at in range(0, len(dumped), DUMPED_ROW):
        row = dumped[at : at + DUMPED_ROW]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        dump.append((f"{at:08x}", row.hex(" "), shown))
    notes = [f"This is the beginning: the first {len(dumped):,} of {size:,} bytes."] if size > len(dumped) else []
    return Preview(form=BINARY, dump=dump, notes=notes)
