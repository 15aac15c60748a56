"""The shapes in which files hold records: a JSON array, one JSON object, JSON lines, or CSV.

`look` reads the beginning of a file and says which shape it has; `rows` reads all records of it, one by one, in flat
memory. One bad record is a `Refused` in its place, as in answers of services.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bundles.format.model.canonical import fraction_of, integer_of
from bundles.sources.jsonstream import JsonLines, JsonStream, MalformedError, Refused

ARRAY, OBJECT, LINES, CSV, NONE = "array", "object", "lines", "csv", "none"
HEAD_BYTES = 256 * 1024
RECORD_CHARACTERS = 8 * 1024 * 1024
BLANKS = " \t\r\n"
MOST_COLUMNS = 2_000
DELIMITERS = ",;\t|"

Open = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, kw_only=True)
class Look:
    """The beginning of a file.

    Attributes:
        shape: one of the shapes of this module.
        first: the first record, where it could be read; its values are texts in CSV.
        keys: of the file's object, as far as they are in the beginning; empty in other shapes.
        columns: of a CSV file; empty in other shapes.
        delimiter: of a CSV file.
    """

    shape: str
    first: dict[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    delimiter: str = ","


class Row(NamedTuple):
    """One record of a file.

    Attributes:
        record: with the text of its numbers.
        position: in the file, from 1; of a CSV file the first record behind the header is 1.
        line: where it begins, from 1; 0 where that is not known.
    """

    record: dict[str, Any]
    position: int
    line: int = 0


def look(head: bytes) -> Look:
    """What a file that begins with `head` holds.

    Args:
        head: its first bytes, at most `HEAD_BYTES`.
    """
    text = codecs.getincrementaldecoder("utf-8-sig")("replace").decode(head).lstrip(BLANKS)
    if text.startswith("["):
        return Look(shape=ARRAY, first=_value(text[1:].lstrip(BLANKS)) or {})
    if text.startswith("{"):
        first, end = _parsed(text)
        rest = text[end:].lstrip(BLANKS) if first is not None else ""
        if first is not None and (rest or not _holds_records(first)):
            return Look(shape=LINES, first=first)
        return Look(shape=OBJECT, first=first or {}, keys=_keys(text))
    return _look_at_csv(text)


def rows(open_file: Open, found: Look, *, within: tuple[str, ...] = ()) -> Iterator[Row | Refused]:
    """Every record of a file.

    Args:
        open_file: gives the file's bytes from its beginning.
        found: what `look` said of it.
        within: the keys that lead to the list of records in a file of one object; none if the object is the record.

    Raises:
        MalformedError: the file cannot be read on as what it is.
    """
    if found.shape == CSV:
        yield from _csv_rows(open_file(), found)
        return
    if found.shape == LINES:
        lines = JsonLines(open_file())
        for record in lines.records(RECORD_CHARACTERS):
            yield _row(lines, record)
        return
    stream = JsonStream(open_file())
    if found.shape == ARRAY:
        yield from _records(stream)
        stream.end()
    else:
        yield from _within(stream, within)
        stream.end()


def in_words(refused: Refused) -> str:
    """A record that cannot be taken, with its place and the reason, for people."""
    return f"record {refused.position}{refused.where()} {refused.why}"


def _within(stream: JsonStream, keys: tuple[str, ...]) -> Iterator[Row | Refused]:
    if not keys:
        record = stream.value(RECORD_CHARACTERS)
        if isinstance(record, dict):
            yield Row(record=record, position=1)
        return
    for key in stream.members():
        if key != keys[0]:
            stream.value(RECORD_CHARACTERS)
        elif len(keys) > 1:
            yield from _within(stream, keys[1:])
        elif stream.peek() == "[":
            yield from _records(stream)
        else:
            stream.value(RECORD_CHARACTERS)


def _records(stream: JsonStream) -> Iterator[Row | Refused]:
    for record in stream.records(RECORD_CHARACTERS):
        yield _row(stream, record)


def _row(reader: JsonStream | JsonLines, record: Any) -> Row | Refused:
    if isinstance(record, Refused):
        return record
    if not isinstance(record, dict):
        return reader.refused(record, "it is not an object")
    return Row(record, reader.position, reader.line_of_record)


def _csv_rows(pieces: Iterator[bytes], found: Look) -> Iterator[Row | Refused]:
    """The rows of a CSV file (RFC 4180) by the names of its columns; a name that comes twice gets a number."""
    lines = _Lines(pieces)
    reader = csv.reader(lines, delimiter=found.delimiter, strict=True)
    position, columns, begins = 0, _named(found.columns), 1
    while True:
        lines.begin_record()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise MalformedError(f"line {begins}: it is not CSV ({error})") from None
        line, begins = begins, lines.number + 1
        if line == 1 or not values:
            continue
        position += 1
        if len(values) > len(columns):
            reason = f"it has {len(values)} fields, and the file {len(columns)} columns"
            yield Refused(position=position, offset=lines.offset, line=line, reason=reason)
            continue
        if lines.broken:
            yield Refused(position=position, offset=lines.offset, line=line, reason="it has bytes that are not UTF-8")
            continue
        yield Row(record=dict(zip(columns, values, strict=False)), position=position, line=line)


class _Lines:
    """Lines of text for `csv`, with their number, and the bytes before the present record."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.number = 0
        self.offset = 0
        self.broken = False
        self._pieces = pieces
        self._rest = b""
        self._record_characters = 0
        self._read = 0

    def begin_record(self) -> None:
        """Note that the next line begins a record."""
        self.offset, self.broken, self._record_characters = self._read, False, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while b"\n" not in self._rest:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
            if len(self._rest) > RECORD_CHARACTERS:
                raise MalformedError(f"line {self.number + 1} is longer than {RECORD_CHARACTERS} bytes")
        raw, end, self._rest = self._rest.partition(b"\n")
        if not raw and not end:
            raise StopIteration
        self.number += 1
        self._read += len(raw) + len(end)
        self._record_characters += len(raw)
        if self._record_characters > RECORD_CHARACTERS:
            raise MalformedError(f"the record before line {self.number} is longer than {RECORD_CHARACTERS} bytes")
        try:
            text = (raw + end).decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError:
            self.broken = True
            text = (raw + end).decode("utf-8", "replace")
        return text


def _look_at_csv(text: str) -> Look:
    lines = text.splitlines()
    if not lines or "\0" in text or "\ufffd" in lines[0]:
        return Look(shape=NONE)
    for delimiter in sorted(DELIMITERS, key=lambda one: -lines[0].count(one)):
        try:
            header, *values = csv.reader(lines[:50], delimiter=delimiter, strict=True)
        except (csv.Error, ValueError):
            try:
                (header,) = csv.reader(lines[:1], delimiter=delimiter, strict=True)
                values = []
            except (csv.Error, ValueError):
                return Look(shape=NONE)
        if not 2 <= len(header) <= MOST_COLUMNS or not all(name.strip() for name in header):
            return Look(shape=NONE)
        first = dict(zip(_named(tuple(header)), values[0], strict=False)) if values else {}
        return Look(shape=CSV, first=first, columns=tuple(header), delimiter=delimiter)
    return Look(shape=NONE)


def _named(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns' names; one that comes again gets ` (2)` and so on, so that no field is lost."""
    seen: dict[str, int] = {}
    named = []
    for column in columns:
        name = column.strip()
        seen[name] = seen.get(name, 0) + 1
        named.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(named)


_DECODER = json.JSONDecoder(parse_float=fraction_of, parse_int=integer_of)


def _parsed(text: str) -> tuple[dict[str, Any] | None, int]:
    try:
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None, 0
    return (value, end) if isinstance(value, dict) else (None, 0)


def _value(text: str) -> dict[str, Any] | None:
    return _parsed(text)[0]


def _holds_records(value: dict[str, Any]) -> bool:
    """Whether an object that is alone in its file may hold the file's records, and is no record itself."""
    return any(isinstance(inner, list | dict) for inner in value.values())


def _keys(text: str) -> tuple[str, ...]:
    """The keys of the object that `text` begins with, as far as they are in it."""
    found: list[str] = []
    at, depth = 0, 0
    string = json.decoder.scanstring  # type: ignore[attr-defined]
    while at < len(text):
        mark = text[at]
        if mark == '"':
            try:
                value, at = string(text, at + 1, False)  # noqa: FBT003 -- its signature
            except ValueError:
                break
            if depth == 1 and text[at:].lstrip(BLANKS).startswith(":"):
                found.append(value)
            continue
        depth += mark in "{["
        depth -= mark in "}]"
        if depth == 0:
            break
        at += 1
    return tuple(found)
