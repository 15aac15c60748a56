"""Finds what is wrong with one JSON record, where in it, and the record's id.

The C parser says that a record cannot be taken; this module reads it again, slowly, and says why. It goes on after
faults that do not hide where a value ends, so that an id behind them is found too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bundles.format.model import paths
from bundles.sources.jsontext import NOT_UTF8

SHOWN_CHARACTERS = 120  # of an id or a key in a message
PATH_CHARACTERS = 240

_BLANKS = re.compile(r"[ \t\r\n]*+")
_STRING = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPES = re.compile(r'(?:[^\\]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+')
_CONTROL = re.compile("[\x00-\x1f]")
_WORD = re.compile(r'[^ \t\r\n{}\[\]:,"]++')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERALS = frozenset({"true", "false", "null"})
_NOT_JSON_WORDS = frozenset({"NaN", "Infinity", "-Infinity"})
_NOT_JSON = "it is not JSON here"


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong with a record.

    Attributes:
        reason: in words, without what the record says.
        at: index of the character in the record's text.
        path: the field, such as `raw_data.tls.subject` or `files[2].size`; empty where it is the record itself.
        record_id: the value of its id, if that is text or a whole number and was found.
    """

    reason: str
    at: int
    path: str
    record_id: str | int | None


def find(text: str, *, depth: int, ids: Iterable[str] = ()) -> Found:
    """Find the first fault of a record.

    Args:
        text: the record, or as much of it as there is; bytes that are not UTF-8 as `surrogateescape` makes them.
        depth: the deepest nesting allowed.
        ids: names of the field that holds the record's id.
    """
    walk = _Walk(text, depth, frozenset(ids))
    walk.run()
    reason, at, path = walk.fault or ("it is not JSON", 0, "")
    return Found(reason, at, path, walk.record_id)


def shown(text: object) -> str:
    """An id, a key or a name that a system sent, for a message: on one line, nothing that changes what is around it.

    Args:
        text: other than text is shown as `str` has it; what is longer than `SHOWN_CHARACTERS` is shortened.
    """
    plain = paths.escaped(str(text))
    return plain if len(plain) <= SHOWN_CHARACTERS else plain[: SHOWN_CHARACTERS - 1] + "…"


@dataclass(slots=True)
class _Frame:
    """An open object or array: the keys so far of an object, None for an array; the present key or index."""

    keys: set[str] | None
    place: str | int = 0


@dataclass(slots=True)
class _Walk:
    text: str
    depth: int
    ids: frozenset[str]
    fault: tuple[str, int, str] | None = None
    record_id: str | int | None = None
    _frames: list[_Frame] = field(default_factory=list)
    _at: int = 0

    def run(self) -> None:
        """Go through the record until its end, or to a fault that hides what follows."""
        goes_on = self._value()
        while goes_on and self._frames:
            frame = self._frames[-1]
            goes_on = self._member(frame) if frame.keys is not None else self._item(frame)

    def _member(self, frame: _Frame) -> bool:
        """Read a key and what follows it, or the end of the object."""
        mark = self._next()
        if mark == "}":
            return self._close()
        if frame.place:
            if mark != ",":
                return self._stop(_NOT_JSON)
            self._at += 1
            mark = self._next()
        if mark != '"':
            return self._stop(_NOT_JSON)
        start = self._at
        frame.place = " "  # something, in case the key cannot be read
        key = self._string()
        if key is None:
            return False
        frame.place = key or " "
        if frame.keys is not None:
            if key in frame.keys:
                self._note("the same key occurs twice in one object", start)
            frame.keys.add(key)
        if self._next() != ":":
            return self._stop(_NOT_JSON)
        self._at += 1
        return self._value()

    def _item(self, frame: _Frame) -> bool:
        """Read an item, or the end of the array; its place is the number of items so far."""
        mark = self._next()
        if mark == "]":
            return self._close()
        if isinstance(frame.place, int) and frame.place > 0:
            if mark != ",":
                return self._stop(_NOT_JSON)
            self._at += 1
        frame.place = int(frame.place) + 1
        return self._value()

    def _value(self) -> bool:
        mark = self._next()
        if mark in {"{", "["}:
            self._frames.append(_Frame(set() if mark == "{" else None, "" if mark == "{" else 0))
            self._at += 1
            if len(self._frames) > self.depth:
                del self._frames[1:]  # the name of the outermost field says enough
                return self._stop(f"it is nested more than {self.depth} deep")
            return True
        if mark == '"':
            value = self._string()
            self._keep_id(value)
            return value is not None
        return self._word()

    def _word(self) -> bool:
        """Read a number, true, false or null."""
        word = _WORD.match(self.text, self._at)
        if word is None:
            return self._stop(_NOT_JSON)
        said, start = word[0], self._at
        self._at = word.end()
        if said in _NOT_JSON_WORDS:
            self._note(f"{said} is not JSON", start)
        elif said not in _LITERALS and not _NUMBER.fullmatch(said):
            self._note(_NOT_JSON if not NOT_UTF8.search(said) else "it has bytes that are not UTF-8", start)
        elif said.lstrip("-").isdigit() and len(said) <= SHOWN_CHARACTERS:
            self._keep_id(int(said))
        return True

    def _string(self) -> str | None:
        """Read a text; None if it has no end."""
        found = _STRING.match(self.text, self._at)
        if found is None:
            self._stop("a text does not end")
            return None
        start, body = found.start(1), found[1]
        self._at = found.end()
        if not body.isascii() and (wrong := NOT_UTF8.search(body)):
            self._note("it has bytes that are not UTF-8", start + wrong.start())
        if control := _CONTROL.search(body):
            named = f"U+{ord(control[0]):04X}"
            self._note(f"a text has the control character {named}, which must be escaped", start + control.start())
        if "\\" not in body:
            return body
        escapes = _ESCAPES.match(body)
        if escapes is None or escapes.end() != len(body):
            self._note("a text has an escape that is not JSON", start + (escapes.end() if escapes else 0))
            return body
        return str(json.loads(f'"{body}"', strict=False))

    def _keep_id(self, value: str | int | None) -> None:
        if value is not None and len(self._frames) == 1 and self._frames[0].place in self.ids:
            self.record_id = value

    def _next(self) -> str:
        blanks = _BLANKS.match(self.text, self._at)
        self._at = blanks.end() if blanks else self._at
        return self.text[self._at : self._at + 1]

    def _close(self) -> bool:
        self._frames.pop()
        self._at += 1
        return True

    def _stop(self, reason: str) -> bool:
        self._note(reason, self._at)
        return False

    def _note(self, reason: str, at: int) -> None:
        if self.fault is None:
            self.fault = reason, at, self._path()

    def _path(self) -> str:
        parts: list[str] = []
        for frame in self._frames:
            if frame.keys is None:
                parts.append(f"[{max(int(frame.place) - 1, 0)}]")
            elif frame.place:
                parts.append(("." if parts else "") + shown(frame.place))
        path = "".join(parts)
        half = PATH_CHARACTERS // 2
        return path if len(path) <= PATH_CHARACTERS else f"{path[:half]}…{path[-half:]}"
