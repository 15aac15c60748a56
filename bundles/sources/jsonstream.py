"""Reads strict JSON from a stream of bytes, one value at a time, so that a long list need not fit into memory.

Refused: duplicate keys, NaN and infinities, control characters in strings, bytes that are not UTF-8, values that are
nested too deeply or too large, anything after the end. Kept: lone surrogates, since evidence can contain them, and the
text of every number.

`records` reads a list of which single records may be bad: it yields a `Refused` in the place of each, with its
position, byte offset, field and reason, finds where the record ends, however large it is, and goes on. `JsonLines`
does the same for one record a line.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from bundles.format.model.canonical import (
    RECORD_DEPTH,
    canonical_json,
    depth_exceeds,
    fraction_of,
    integer_of,
)
from bundles.sources import jsonfault
from bundles.sources.jsontext import NOT_UTF8, EndedEarlyError, JsonText, MalformedError, encoded

__all__ = ["EndedEarlyError", "JsonLines", "JsonStream", "MalformedError", "Refused"]

_BLANKS = " \t\n\r"
_REFILL_CHARACTERS = 64 * 1024
_WORDS = ("true", "false", "null", "-")
_NUMBER_CONTINUES = frozenset(".eE+-")
_ESCAPE_CHARACTERS = len(r"\u1234")
_NEAR_END = 32  # characters; a value that was cut off by the window shows an error this near its end, or in a string
_HEAD_CHARACTERS = 64 * 1024  # of a record that is too large, in which its id is looked for
_DEEPEST_SKIPPED = 1_000_000
_DIGEST_BYTES = 16

_STRING_PART = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_BRACKETS = re.compile(r'["\[\]{}]')
_BRACKETS_AND_COMMA = re.compile(r'["\[\]{},]')
_CLOSES = {"]": "[", "}": "{"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A record that cannot be taken.

    Attributes:
        position: in its list, from 1.
        offset: bytes of the answer before the fault, or before the record if the fault has no place of its own.
        line: of the answer, from 1, where `offset` is.
        reason: in words, without what the record says.
        field: the path of the field, such as `raw_data.tls.subject`; empty where it is the record itself.
        record_id: its id, where that could be read.
        digest: of the record's bytes, to know it again.
    """

    position: int
    offset: int
    line: int
    reason: str
    field: str = ""
    record_id: object = None
    digest: bytes = b""

    @property
    def why(self) -> str:
        """The field and the reason, in words that quote nothing but the field's name."""
        return f"field {self.field}: {self.reason}" if self.field else self.reason

    def where(self, answer: str = "") -> str:
        """Its id and the place of the fault, in words; `answer` says which answer the byte offset is of."""
        named = "" if self.record_id is None else f" (id {jsonfault.shown(self.record_id)})"
        line = f", line {self.line}" if self.line > 1 else ""
        return f"{named}, byte {self.offset}{line}{answer},"


class _BadValueError(Exception):
    """The value at the present place cannot be taken.

    Args:
        reason: empty where it must be looked for.
        end: index behind the value, if it is known.
    """

    def __init__(self, reason: str = "", end: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.end = end


class _Reader(JsonText):
    """What a document and lines have in common: parsing one value, and describing a bad record."""

    def __init__(self, pieces: Iterator[bytes], *, max_depth: int = RECORD_DEPTH) -> None:
        super().__init__(pieces)
        self._max_depth = max_depth
        self._start = 0  # of the present record
        self.position = 0
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=fraction_of,
            parse_int=integer_of,
        )

    @property
    def line_of_record(self) -> int:
        """The line, from 1, on which the present record begins."""
        return self.line(self._start)

    def refused(self, record: Any, reason: str, *, field: str = "", record_id: object = None) -> Refused:
        """The record just read, as one that its reader cannot take.

        Args:
            record: what was read.
            reason: in words.
            field: the name of the field that is wrong.
            record_id: its id, if it has a usable one.
        """
        return Refused(
            position=self.position,
            offset=self.offset(self._start),
            line=self.line(self._start),
            reason=reason,
            field=field,
            record_id=record_id,
            digest=hashlib.blake2b(canonical_json(record), digest_size=_DIGEST_BYTES).digest(),
        )

    def _checked(self, value: Any, end: int, max_characters: int) -> tuple[Any, int]:
        """A parsed value and its end, if it keeps to the bounds."""
        if end - self.at > max_characters:
            raise _BadValueError(_too_large(max_characters), end)
        brackets = self.text.count("{", self.at, end) + self.text.count("[", self.at, end)
        if brackets > self._max_depth and depth_exceeds(value, self._max_depth):
            raise _BadValueError(end=end)
        if self.suspect and NOT_UTF8.search(self.text, self.at, end):
            raise _BadValueError(end=end)
        return value, end

    def _described(self, raw: str, ids: Iterable[str], reason: str = "", digest: bytes = b"") -> Refused:
        """The record `raw`, or its beginning, at the present place.

        Args:
            raw: its text.
            ids: names of the field that holds its id.
            reason: why it is refused, if that is known.
            digest: of its bytes, if `raw` is only the beginning.
        """
        found = jsonfault.find(raw, depth=self._max_depth, ids=ids)
        index = self.at + (0 if reason else found.at)
        return Refused(
            position=self.position,
            offset=self.offset(index),
            line=self.line(index),
            reason=reason or found.reason,
            field="" if reason else found.path,
            record_id=found.record_id,
            digest=digest or hashlib.blake2b(encoded(raw), digest_size=_DIGEST_BYTES).digest(),
        )


class JsonStream(_Reader):
    """Reads one JSON document from pieces of bytes.

    Args:
        pieces: the document, split anywhere; a byte order mark is skipped.
        max_depth: nesting of a value or record; the outermost has depth 1.

    Attributes:
        position: of the present record in its list, from 1.
    """

    def peek(self) -> str:
        """The next character that is not whitespace; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _BLANKS:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.fill(1):
                return ""

    def value(self, max_characters: int) -> Any:
        """The next value, completely parsed.

        Args:
            max_characters: its bound in characters of JSON.

        Raises:
            MalformedError: it is not JSON, ambiguous, too deep or too large.
        """
        if not self.peek():
            raise EndedEarlyError("it ends where a value should be")
        try:
            value, self.at = self._parse(max_characters)
        except _BadValueError as bad:
            found = jsonfault.find(self.text[self.at : bad.end], depth=self._max_depth)
            index = self.at + (0 if bad.reason else found.at)
            path = f"field {found.path}: " if found.path and not bad.reason else ""
            raise self._malformed(path + (bad.reason or found.reason), index) from None
        return value

    def members(self) -> Iterator[str]:
        """The keys of the next object; read the value of each before requesting the next key."""
        self._take("{")
        seen: set[str] = set()
        if self.peek() == "}":
            self.at += 1
            return
        while True:
            key = self.value(1024)
            if not isinstance(key, str) or key in seen:
                raise self._malformed("an object has a key that is not a string, or the same key twice", self.at)
            seen.add(key)
            self._take(":")
            yield key
            if self._take(",}") == "}":
                return

    def elements(self, max_characters: int) -> Iterator[Any]:
        """The values of the next array, each at most `max_characters` long.

        Raises:
            MalformedError: one of them cannot be taken; nothing is read beyond it.
        """
        self._take("[")
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            yield self.value(max_characters)
            if self._take(",]") == "]":
                return

    def records(self, max_characters: int, *, ids: Iterable[str] = ()) -> Iterator[Any]:
        """The records of the next array, each of them parsed, or a `Refused` in its place.

        Until the next one is requested, `position` and `refused` are about this one.

        Args:
            max_characters: the bound of one record in characters of JSON; a larger one is skipped without being kept.
            ids: names of the field that holds a record's id, for `Refused.record_id`.

        Raises:
            MalformedError: it is not an array, or the end of a bad record cannot be found.
        """
        self._take("[")
        self.position = 0
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            self.position += 1
            if not self.peek():
                raise EndedEarlyError("it ends where a record should be")
            try:
                value, end = self._parse(max_characters)
            except _BadValueError as bad:
                yield self._skip(bad, max_characters, ids)
            else:
                self._start, self.at = self.at, end
                yield value
            if self._take(",]") == "]":
                return

    def end(self) -> None:
        """Check that nothing follows.

        Raises:
            MalformedError: something does.
        """
        if self.peek():
            raise self._malformed("something follows the end of the document", self.at)

    def _take(self, expected: str) -> str:
        found = self.peek()
        if not found:
            raise EndedEarlyError("it ends in the middle")
        if found not in expected:
            raise self._malformed("it is not JSON of the expected shape", self.at)
        self.at += 1
        return found

    def _malformed(self, reason: str, index: int) -> MalformedError:
        line = self.line(index)
        return MalformedError(f"{reason} (byte {self.offset(index)}{f', line {line}' if line > 1 else ''})")

    def _parse(self, max_characters: int) -> tuple[Any, int]:
        """The value at the present place, and the index of its end."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                self._grow_or_fail(error, max_characters)
                continue
            except (MalformedError, RecursionError):
                raise _BadValueError from None
            if _may_continue(self.text, end) and self.fill(1):
                continue
            return self._checked(value, end, max_characters)

    def _grow_or_fail(self, error: json.JSONDecodeError, max_characters: int) -> None:
        in_string = error.msg.startswith("Unterminated string")
        if not in_string and len(self.text) - error.pos > _NEAR_END and self.text[error.pos] not in _BLANKS:
            raise _BadValueError from None
        buffered = len(self.text) - self.at
        if buffered > max_characters:
            raise _BadValueError(_too_large(max_characters)) from None
        rest = self.text[error.pos :]
        if self.fill(max(_REFILL_CHARACTERS, buffered)):
            return
        if _is_cut(error.msg, rest):
            raise EndedEarlyError("it ends in the middle of a value") from None
        raise _BadValueError from None

    def _skip(self, bad: _BadValueError, max_characters: int, ids: Iterable[str]) -> Refused:
        """Describe the bad record at the present place and move behind it, in memory of the bound at most."""
        if self.text[self.at] in ",]}:":
            raise self._malformed("it is not JSON of the expected shape", self.at)
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        described: Refused | None = None
        scan = _EndOfRecord()
        index, end = self.at, bad.end
        while end is None:
            try:
                end = scan.find(self.text, index)
            except MalformedError as error:
                raise self._malformed(str(error), scan.at) from None
            if end is not None:
                break
            if scan.at - self.at > max_characters:
                if described is None:
                    head = self.text[self.at : self.at + _HEAD_CHARACTERS]
                    described = self._described(head, ids, _too_large(max_characters))
                digest.update(encoded(self.text[self.at : scan.at]))
                self.at = scan.at
            index = scan.at - self.at
            if not self.fill(max(_REFILL_CHARACTERS, index)):
                raise EndedEarlyError("it ends in the middle of a value")
        raw = self.text[self.at : end].rstrip(_BLANKS)
        digest.update(encoded(raw))
        if described is None:
            too_large = _too_large(max_characters) if len(raw) > max_characters else ""
            head = raw[:_HEAD_CHARACTERS] if too_large else raw
            described = self._described(head, ids, too_large)
        self.at = end
        return _with_digest(described, digest.digest())


class JsonLines(_Reader):
    """Reads one JSON record a line; empty lines are skipped, and the last line need not end.

    Args:
        pieces: the lines, split anywhere; a byte order mark is skipped.
        max_depth: nesting of a record; the outermost has depth 1.

    Attributes:
        position: of the present record, from 1.
    """

    def records(self, max_characters: int, *, ids: Iterable[str] = ()) -> Iterator[Any]:
        """Each record, parsed, or a `Refused` in its place; see `JsonStream.records`.

        Raises:
            MalformedError: it is UTF-16.
        """
        while True:
            end = self._end_of_line(max_characters)
            if end is None:
                end = len(self.text)
                if not self.text[self.at :].strip(_BLANKS):
                    return
            elif not self.text[self.at : end].strip(_BLANKS):
                self.at = end + 1
                continue
            self.position += 1
            yield self._record(end, max_characters, ids)
            self._to_next_line(end)

    def _record(self, end: int, max_characters: int, ids: Iterable[str]) -> Any:
        raw = self.text[self.at : end]
        self._start = self.at
        if end - self.at > max_characters:
            return self._described(raw[:_HEAD_CHARACTERS], ids, _too_large(max_characters))
        try:
            value, behind = self._decoder.raw_decode(self.text, self.at + len(raw) - len(raw.lstrip(_BLANKS)))
            if behind > end or self.text[behind:end].strip(_BLANKS):
                raise _BadValueError(
                    "a line has more than one value" if behind <= end else "it does not end on its line"
                )
            return self._checked(value, end, max_characters)[0]
        except _BadValueError as bad:
            return self._described(raw, ids, bad.reason)
        except (ValueError, RecursionError):
            return self._described(raw, ids)

    def _end_of_line(self, max_characters: int) -> int | None:
        """The index of the next line break, or one beyond the bound; None if the document ends before."""
        index = self.at
        while (end := self.text.find("\n", index)) < 0:
            if len(self.text) - self.at > max_characters:
                return len(self.text)
            index = len(self.text) - self.at
            if not self.fill(max(_REFILL_CHARACTERS, index)):
                return None
        return end

    def _to_next_line(self, end: int) -> None:
        """Move behind the line whose end, or whose part so far, is at `end`."""
        self.at = end
        while (found := self.text.find("\n", self.at)) < 0:
            self.at = len(self.text)
            if not self.fill(_REFILL_CHARACTERS):
                return
        self.at = found + 1


class _EndOfRecord:
    """Finds where a record of a list ends, by its strings and brackets alone, in text that comes in parts.

    Attributes:
        at: index up to which the last text was read.
    """

    def __init__(self) -> None:
        self.at = 0
        self._open = bytearray()
        self._quoted = False

    def find(self, text: str, index: int) -> int | None:
        """The index of the comma or bracket behind the record; None if it is not in `text`.

        Args:
            text: the text; what is before `index` was read already.
            index: where to go on.

        Raises:
            MalformedError: brackets do not match, so that no end can be found.
        """
        while True:
            if self._quoted:
                part = _STRING_PART.match(text, index)
                index = part.end() if part else index
                if text[index : index + 1] != '"':  # the end of the text, perhaps in the middle of an escape
                    self.at = index
                    return None
                self._quoted = False
                index += 1
            found = (_BRACKETS if self._open else _BRACKETS_AND_COMMA).search(text, index)
            if found is None:
                self.at = len(text)
                return None
            self.at, mark = found.start(), found[0]
            index = found.end()
            if mark == '"':
                self._quoted = True
            elif mark in "[{":
                self._open.append(ord(mark))
                if len(self._open) > _DEEPEST_SKIPPED:
                    raise MalformedError("a record is nested so deeply that its end is not looked for")
            elif not self._open:
                return self.at
            elif self._open.pop() != ord(_CLOSES[mark]):
                raise MalformedError("the brackets of a record do not match, so that its end cannot be found")


def _may_continue(text: str, end: int) -> bool:
    """Whether the value that ends there may be the start of a longer number, such as `1` of `1.5` split after `1.`."""
    rest = text[end : end + 3]
    return len(rest) < 3 and text[end - 1] not in '"}]' and _NUMBER_CONTINUES.issuperset(rest)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise MalformedError("an object has the same key twice")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"it contains {name}, which is not JSON")


def _too_large(max_characters: int) -> str:
    return f"it is larger than {max_characters} characters"


def _with_digest(refused: Refused, digest: bytes) -> Refused:
    return Refused(
        position=refused.position, offset=refused.offset, line=refused.line, reason=refused.reason,
        field=refused.field, record_id=refused.record_id, digest=digest,
    )  # fmt: skip


def _is_cut(message: str, rest: str) -> bool:
    """Whether a parser error, with the text from its position to the end, means that the text was cut off."""
    if message.startswith("Unterminated string"):
        return True
    if "escape" in message:
        return len(rest) <= _ESCAPE_CHARACTERS
    return any(word.startswith(rest.strip(_BLANKS)) for word in _WORDS)
