"""Finds where a file of records is not as it must be: record, field, line and byte.

Parsers say that a document is wrong, and seldom where in the evidence. This scanner is slow: it runs only after a file
was refused, and only on a record that the fast parser refuses.
"""

from __future__ import annotations

import codecs
import json
import mmap
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from bundles.format.model.canonical import RECORD_DEPTH, depth_exceeds, strict_loads

SHOWN_CHARACTERS = 200  # of an id, a field or a word from the file
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# Possessive, so that a match takes time in proportion to its length.
_TEXT_BEGINNING = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
_WORD = re.compile(rb"[A-Za-z0-9_.+-]{1,40}")
_BLANKS = re.compile(rb"[ \t\n\r]*+")
_AFTER_NUMBER = re.compile(rb"[\s,\]}]|\Z")
_LENIENT = json.JSONDecoder()
_LITERALS = {b"true", b"false", b"null"}
_NO_NUMBERS = {b"NaN", b"Infinity", b"-Infinity"}


@dataclass(frozen=True, kw_only=True)
class JsonFault:
    """The first fault of a file.

    Attributes:
        reason: what is wrong, as a clause.
        offset: its byte in the file, from 0.
        line: its line, from 1.
        position: of its record, from 1; None outside the records.
        record_id: the id of its record, if that stands before the fault; else empty.
        field: the field within the record, or within the document outside of records; empty if none is known.
    """

    reason: str
    offset: int
    line: int
    position: int | None = None
    record_id: str = ""
    field: str = ""

    def __str__(self) -> str:
        """A clause for messages: `record 2 (id 's1'), field 'a.b': NaN is not JSON (line 4, byte 120)`."""
        record = f"record {self.position}" if self.position is not None else ""
        record += f" (id {self.record_id[:SHOWN_CHARACTERS]!r})" if self.record_id else ""
        named = ", ".join(part for part in (record, f"field {self.field!r}" if self.field else "") if part)
        return f"{named + ': ' if named else ''}{self.reason} (line {self.line}, byte {self.offset})"


def first_fault(
    path: Path,
    *,
    records_at: Sequence[Sequence[str]],
    id_field: str,
    start: int | None = None,
    position: int | None = None,
) -> JsonFault | None:
    """The first fault of a JSON file; None if its JSON is sound.

    Args:
        path: the file.
        records_at: the keys that lead to the array of records; several if it may be in one of several places, and
            `[[]]` if the document is that array.
        id_field: the field of a record that holds its id.
        start: where to begin, in bytes.
        position: with `start`, that one record begins there, and which it is, from 1; nothing after it is read.
    """
    with path.open("rb") as file:
        try:
            data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # the file is empty
            return JsonFault(reason="the file is empty", offset=0, line=1)
        with closing(data):
            scanner = _Scanner(data, [tuple(keys) for keys in records_at], id_field, single=position)
            try:
                scanner.run(start or 0)
            except _FoundError as found:
                return scanner.fault(found)
    return None


class _FoundError(Exception):
    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


@dataclass
class _Frame:
    """An object or array that is open.

    Attributes:
        key: the key or index of the value that is read now; None before it is known.
        seen: the keys so far; None for an array.
    """

    key: str | int | None
    seen: set[str] | None = field(default=None)


class _Scanner:
    def __init__(self, data: Any, records_at: list[tuple[str, ...]], id_field: str, *, single: int | None) -> None:
        self._data = data
        self._records_at = records_at
        self._id_field = id_field
        self._single = single
        self._stack: list[_Frame] = []
        self._id = ""
        self._id_of: int | None = None  # the record that `_id` belongs to

    def run(self, position: int) -> None:
        """Scan the document, or the one record.

        Raises:
            _FoundError: at the first fault.
        """
        if position == 0:
            position = self._beginning()
        position = self._value(self._blanks(position))
        while self._stack:
            position = self._after_value(self._blanks(position))
        if self._single is None:
            self._expect_end(self._blanks(position))

    def fault(self, found: _FoundError) -> JsonFault:
        """The fault with its place in the records."""
        depth = self._record_depth()
        position = self._position(depth)
        keys = [frame.key for frame in self._stack if frame.key is not None]
        return JsonFault(
            reason=found.reason,
            offset=found.offset,
            line=_line(self._data, found.offset),
            position=position,
            record_id=self._id if position is not None and self._id_of == position else "",
            field=_field(keys[depth or 0 :]),
        )

    def _beginning(self) -> int:
        head = self._data[:4]
        if head[:2] in _UTF16_MARKS or (len(head) > 1 and 0 in head[:2]):
            raise _FoundError(0, "it is UTF-16 or UTF-32, not UTF-8; convert it to UTF-8")
        return len(codecs.BOM_UTF8) if head[:3] == codecs.BOM_UTF8 else 0

    def _value(self, at: int) -> int:
        """Read a scalar, or open an object or array and read to its first value that is a scalar or empty."""
        while True:
            opening = self._data[at : at + 1]
            if self._record_depth() == len(self._stack) and opening != b"{":
                raise _FoundError(at, "a record is not an object")
            if opening not in {b"{", b"["}:
                return self._scalar(at, opening)
            if self._record_depth() == len(self._stack) and (end := self._after_sound_record(at)) is not None:
                return end
            if len(self._stack) - (self._record_depth() or 0) >= RECORD_DEPTH:
                raise _FoundError(at, f"nested more than {RECORD_DEPTH} deep")
            inside = self._blanks(at + 1)
            if self._data[inside : inside + 1] == (b"}" if opening == b"{" else b"]"):
                return inside + 1
            if opening == b"{":
                self._stack.append(_Frame(None, set()))
                at = self._key(inside)
            else:
                self._stack.append(_Frame(0))
                at = inside

    def _after_sound_record(self, at: int) -> int | None:
        """Where a record ends, by the fast parser; None if it must be scanned."""
        if self._single is not None:
            return None
        try:
            _, end = _LENIENT.raw_decode(self._characters, at)
            record = strict_loads(self._data[at:end], floats=True)
            if depth_exceeds(record, RECORD_DEPTH):
                return None
        except (ValueError, RecursionError):
            return None
        record_id = record.get(self._id_field)
        self._id, self._id_of = "" if record_id is None else str(record_id), self._position(self._record_depth())
        return end

    @cached_property
    def _characters(self) -> str:
        """One character for each byte, for a parser that counts characters."""
        return str(self._data[:], "latin-1")

    def _after_value(self, at: int) -> int:
        """What follows a value in the innermost object or array."""
        frame, mark = self._stack[-1], self._data[at : at + 1]
        if mark == b",":
            at = self._blanks(at + 1)
            if frame.seen is None:
                frame.key = int(frame.key or 0) + 1
                return self._value(at)
            frame.key = None
            return self._value(self._key(at))
        if mark == (b"]" if frame.seen is None else b"}"):
            self._stack.pop()
            return at + 1
        return self._unexpected(at)

    def _key(self, at: int) -> int:
        """Read a key and its colon; where the value begins."""
        frame = self._stack[-1]
        if self._data[at : at + 1] != b'"':
            self._unexpected(at)
        end, key = self._text(at)
        if frame.seen is None:
            raise AssertionError("only objects have keys")
        if key in frame.seen:
            frame.key = key
            raise _FoundError(at, "an object has this key twice")
        frame.seen.add(key)
        frame.key = key
        colon = self._blanks(end)
        if self._data[colon : colon + 1] != b":":
            self._unexpected(colon)
        return self._blanks(colon + 1)

    def _scalar(self, at: int, opening: bytes) -> int:
        if opening == b'"':
            end, text = self._text(at)
        elif found := _NUMBER.match(self._data, at):
            end = found.end()
            if not _AFTER_NUMBER.match(self._data, end):
                self._unexpected(at)
            text = found.group().decode("ascii")
        else:
            word = _WORD.match(self._data, at)
            if word is None or word.group() not in _LITERALS:
                self._unexpected(at)
            end, text = word.end(), ""
        depth = self._record_depth()
        if depth is not None and len(self._stack) == depth + 1 and self._stack[-1].key == self._id_field:
            self._id, self._id_of = text, self._position(depth)
        return end

    def _text(self, at: int) -> tuple[int, str]:
        """Read a text; its end and its value."""
        found = _TEXT_BEGINNING.match(self._data, at)
        end = found.end() if found else at
        stopped = self._data[end : end + 1]
        if stopped != b'"':
            if stopped == b"":
                raise _FoundError(at, "the file ends within a text that begins here")
            if stopped == b"\\":
                raise _FoundError(end, "an escape that JSON does not have")
            raise _FoundError(end, f"the control character U+{stopped[0]:04X} must be written as \\u{stopped[0]:04x}")
        raw = self._data[at : end + 1]
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            shown = raw[error.start : error.start + 4].hex(" ").upper()
            raise _FoundError(at + error.start, f"not UTF-8: {shown}") from error
        return end + 1, json.loads(text)

    def _unexpected(self, at: int) -> NoReturn:
        """Say what stands where something else must."""
        word = _WORD.match(self._data, at)
        if word is not None and word.group() in _NO_NUMBERS:
            raise _FoundError(at, f"{word.group().decode('ascii')} is not JSON")
        if word is not None:
            raise _FoundError(at, f"{word.group().decode('ascii')!r} is not JSON here")
        found = self._data[at : at + 1]
        if found == b"":
            raise _FoundError(at, "the document ends too early")
        raise _FoundError(at, f"{found.decode('ascii', 'backslashreplace')!r} is not JSON here")

    def _expect_end(self, at: int) -> None:
        following = self._data[at : at + 1]
        if following in {b"{", b"[", b'"'} or _WORD.match(self._data, at):
            raise _FoundError(at, "the file holds more than one JSON document; the second begins here")
        if following != b"":
            raise _FoundError(at, "something follows the end of the document")

    def _blanks(self, at: int) -> int:
        found = _BLANKS.match(self._data, at)
        return found.end() if found else at

    def _record_depth(self) -> int | None:
        """How many frames lead to the record that is read now; None outside the records."""
        if self._single is not None:
            return 0
        for keys in self._records_at:
            depth = len(keys) + 1
            if len(self._stack) < depth or not isinstance(self._stack[depth - 1].key, int):
                continue
            if all(frame.key == key for frame, key in zip(self._stack, keys, strict=False)):
                return depth
        return None

    def _position(self, depth: int | None) -> int | None:
        if self._single is not None:
            return self._single
        return int(self._stack[depth - 1].key or 0) + 1 if depth else None


def _line(data: Any, offset: int, block: int = 1 << 20) -> int:
    """The line of a byte, from 1; read in blocks, so that a large file is not held in memory."""
    return 1 + sum(int(data[start : min(start + block, offset)].count(b"\n")) for start in range(0, offset, block))


def _field(keys: Sequence[str | int]) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
