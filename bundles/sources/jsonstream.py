"""Reads strict JSON from a stream of bytes, one value at a time, so that a long list need not fit into memory.

Refused: duplicate keys, NaN and infinities, control characters in strings, bytes that are not UTF-8, values that are
nested too deeply or too large, anything after the end. Kept: lone surrogates, since evidence can contain them, and the
text of every number.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, NoReturn

from bundles.format.model.canonical import RECORD_DEPTH, depth_exceeds, fraction_of, integer_of

_BLANKS = " \t\n\r"
_REFILL_CHARACTERS = 64 * 1024
_WORDS = ("true", "false", "null", "-")
_NUMBER_CONTINUES = frozenset(".eE+-")
_ESCAPE_CHARACTERS = len(r"\u1234")


class MalformedError(ValueError):
    """The input is not the expected JSON; the message quotes nothing from the input."""


class EndedEarlyError(MalformedError):
    """The input ended in the middle of a value: it was cut off."""


class JsonStream:
    """Reads one JSON document from pieces of bytes.

    Args:
        pieces: the document, split anywhere.
        max_depth: nesting of a value returned by `value`; the outermost has depth 1.
    """

    def __init__(self, pieces: Iterator[bytes], *, max_depth: int = RECORD_DEPTH) -> None:
        self._pieces = pieces
        self._max_depth = max_depth
        self._utf8 = codecs.getincrementaldecoder("utf-8")("strict")
        self._text = ""
        self._at = 0
        self._ended = False
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=fraction_of,
            parse_int=integer_of,
        )

    def peek(self) -> str:
        """The next character that is not whitespace; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANKS:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill(1):
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
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                self._grow_or_fail(error, max_characters)
                continue
            except (MalformedError, RecursionError) as error:
                raise MalformedError(_message(error)) from None
            if _may_continue(self._text, end) and self._fill(1):
                continue
            if end - self._at > max_characters:
                raise MalformedError(f"it has a value larger than {max_characters} characters")
            self._at = end
            if depth_exceeds(value, self._max_depth):
                raise MalformedError(f"it is nested more than {self._max_depth} deep")
            return value

    def members(self) -> Iterator[str]:
        """The keys of the next object; read the value of each before requesting the next key."""
        self._take("{")
        seen: set[str] = set()
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            key = self.value(1024)
            if not isinstance(key, str) or key in seen:
                raise MalformedError("an object has a key that is not a string, or the same key twice")
            seen.add(key)
            self._take(":")
            yield key
            if self._take(",}") == "}":
                return

    def elements(self, max_characters: int) -> Iterator[Any]:
        """The values of the next array, each at most `max_characters` long."""
        self._take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value(max_characters)
            if self._take(",]") == "]":
                return

    def end(self) -> None:
        """Check that nothing follows.

        Raises:
            MalformedError: something does.
        """
        if self.peek():
            raise MalformedError("something follows the end of the document")

    def _take(self, expected: str) -> str:
        found = self.peek()
        if not found:
            raise EndedEarlyError("it ends in the middle")
        if found not in expected:
            raise MalformedError("it is not JSON of the expected shape")
        self._at += 1
        return found

    def _grow_or_fail(self, error: json.JSONDecodeError, max_characters: int) -> None:
        buffered = len(self._text) - self._at
        if buffered > max_characters:
            raise MalformedError(f"it has a value larger than {max_characters} characters, or is not JSON") from None
        rest = self._text[error.pos :]
        if self._fill(max(_REFILL_CHARACTERS, buffered)):
            return
        if _is_cut(error.msg, rest):
            raise EndedEarlyError("it ends in the middle of a value") from None
        raise MalformedError("it is not JSON") from None

    def _fill(self, characters: int) -> bool:
        """Read at least so many characters more, or up to the end; returns whether there were any."""
        if self._ended:
            return False
        more: list[str] = []
        count = 0
        while count < characters and not self._ended:
            piece = next(self._pieces, b"")
            self._ended = not piece
            try:
                text = self._utf8.decode(piece, final=self._ended)
            except UnicodeDecodeError as error:
                if self._ended:
                    raise EndedEarlyError("it ends in the middle of a character") from error
                raise MalformedError("it is not UTF-8") from None
            more.append(text)
            count += len(text)
        self._text = self._text[self._at :] + "".join(more)
        self._at = 0
        return count > 0


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


def _is_cut(message: str, rest: str) -> bool:
    """Whether a parser error, with the text from its position to the end, means that the text was cut off."""
    if message.startswith("Unterminated string"):
        return True
    if "escape" in message:
        return len(rest) <= _ESCAPE_CHARACTERS
    return any(word.startswith(rest.strip(_BLANKS)) for word in _WORDS)


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, MalformedError) else "it is nested too deeply"
