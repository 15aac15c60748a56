"""Finds the incident id in a `timeline.json` while it is read; it must be that of the manifest.

An `incident_id` counts in the outermost object and in its object `timeline`, which older bundles wrap around the rest.
It may come before or after the events. Memory does not grow with the file. Input that is not JSON is ignored here;
readers of records refuse it.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate

KEPT_BYTES = 1024  # of one string; an incident id has at most 768 bytes if each character is escaped
FIRST_STEP_BYTES = 256
ROUNDS = 8

_TEXT = rb'(?:[^"\\]++|\\.)*+'
_BLANK = rb"[ \t\r\n]*+"
_STRING_PART = re.compile(_TEXT, re.DOTALL)
_BLANKS = re.compile(_BLANK)
_SCALAR = re.compile(rb'[^"\[\]{}:, \t\r\n]++')
_UP_TO_A_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"' + _TEXT + rb'")*+', re.DOTALL)
# Other keys, each with a value that is neither an object nor an array.
_OTHER_PAIRS = re.compile(
    rb'(?:"(?!incident_id"|timeline")[^"\\]*+"%b:%b(?:"%b"|[^"\[\]{}:, \t\r\n]++)%b,%b)++'
    % (_BLANK, _BLANK, _TEXT, _BLANK, _BLANK),
    re.DOTALL,
)
_QUOTES_AND_BRACKETS = bytes.maketrans(b"[]", b"{}")
_ALL_ELSE = bytes(set(range(256)) - set(b'"[]{}'))


class TimelineIncident:
    """Looks for an incident id in the bytes of a `timeline.json`.

    Args:
        incident_id: the manifest's.

    Attributes:
        names_another: an incident id other than the manifest's was found; null is not an id.
    """

    def __init__(self, incident_id: str) -> None:
        self.names_another = False
        self._incident_id = incident_id
        self._depth = 0
        self._in_timeline = False  # inside the outermost object's `timeline`
        self._quoted = False
        self._kept = bytearray()  # start of the open string, at the depth of the timeline's own keys
        self._last = ""  # the previous string, which is a key if a colon follows
        self._key = ""
        self._scalar = bytearray()
        self._rest = b""

    def update(self, data: bytes | memoryview) -> None:
        """Scan the next bytes."""
        view = self._rest + bytes(data)
        self._rest, position = b"", 0
        while position < len(view):
            if not self._watched():
                position = self._in_value(view, position)
            elif self._quoted:
                position = self._in_string(view, position)
            else:
                position = self._in_header(view, position)

    def _watched(self) -> bool:
        """Whether the keys at this depth are those of the timeline itself."""
        return self._depth <= 1 + self._in_timeline

    def _in_header(self, view: bytes, position: int) -> int:
        """Read one token at the depth of the timeline's own keys."""
        scalar = _SCALAR.match(view, position)
        if scalar:
            self._scalar += scalar[0][: 5 - len(self._scalar)]
            return scalar.end()
        if self._scalar:
            if self._key == "incident_id":
                self._found_id(same=self._scalar == b"null")
            self._scalar.clear()
        token = view[position]
        if token == ord('"'):
            passed = _OTHER_PAIRS.match(view, position) if self._depth and not self._key else None
            if passed:
                return passed.end()
            self._quoted = True
        elif token == ord(":"):
            self._key = self._last if self._depth else ""
        elif token == ord(","):
            self._key = ""
        elif token in b"{[}]":
            self._bracket(token)
        else:
            blanks = _BLANKS.match(view, position)
            return blanks.end() if blanks else position + 1
        return position + 1

    def _in_string(self, view: bytes, position: int) -> int:
        """Keep the start of a string that may be a key or an incident id."""
        found = _STRING_PART.match(view, position)
        end = found.end() if found else position
        self._kept += view[position : min(end, position + KEPT_BYTES + 1 - len(self._kept))]
        if end == len(view):
            return end
        if view[end] != ord('"'):  # a backslash whose escaped character has not arrived yet
            self._rest = view[end:]
            return len(view)
        self._last, self._quoted = _decoded(bytes(self._kept)), False
        self._kept.clear()
        if self._key == "incident_id":
            self._found_id(same=self._last == self._incident_id)
        return end + 1

    def _in_value(self, view: bytes, position: int) -> int:
        """Skip the inside of a value, in growing steps, as most of a timeline is events."""
        step = FIRST_STEP_BYTES
        while position < len(view):
            end = _before_half_an_escape(view, position, position + step)
            if end == position:
                self._rest = view[position:]
                return len(view)
            closed, opened, quoted = _balance(view[position:end], quoted=self._quoted)
            if self._depth - closed <= 1 + self._in_timeline:
                return self._out_of_value(view, position)
            self._depth, self._quoted = self._depth - closed + opened, quoted
            position, step = end, 2 * step
        return position

    def _out_of_value(self, view: bytes, position: int) -> int:
        """Read the rest of a value bracket by bracket, up to its end."""
        while position < len(view) and not self._watched():
            if self._quoted:
                text = _STRING_PART.match(view, position)
                position = text.end() if text else position
                if view[position : position + 1] == b"\\":
                    self._rest = view[position:]
                    return len(view)
                self._quoted = position == len(view)
                position += 1
                continue
            found = _UP_TO_A_BRACKET.match(view, position)
            position = found.end() if found else position
            if view[position : position + 1] == b'"':
                self._quoted = True
            elif position < len(view):
                self._bracket(view[position])
            position += 1
        return position

    def _bracket(self, token: int) -> None:
        if token in b"{[":
            if self._watched() and self._key == "incident_id":
                self._found_id(same=False)
            if self._depth == 1:
                self._in_timeline = token == ord("{") and self._key == "timeline"
            elif self._depth == 0 and token == ord("["):
                self._depth = 1  # an array has no keys: its content is one level deeper than the watched keys
            self._depth += 1
        else:
            self._depth = max(0, self._depth - 1)
            self._in_timeline = self._in_timeline and self._depth > 1
        self._key = self._last = ""

    def _found_id(self, *, same: bool) -> None:
        self.names_another = self.names_another or not same
        self._key = ""


def _decoded(text: bytes) -> str:
    """A string's text; empty, which is not an incident id, if it cannot be decoded."""
    try:
        return str(json.loads(b'"' + text + b'"')) if len(text) <= KEPT_BYTES else ""
    except ValueError:
        return ""


def _before_half_an_escape(view: bytes, position: int, end: int) -> int:
    """`end`, moved by one byte if it would separate a backslash from the character it escapes."""
    end = min(end, len(view))
    piece = view[position:end]
    if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
        return end + 1 if end < len(view) else end - 1
    return end


def _balance(piece: bytes, *, quoted: bool) -> tuple[int, int, bool]:
    """How many earlier brackets `piece` closes, how many of its own it leaves open, and whether it ends in a string.

    Brackets in strings do not count. Each step is one pass over the bytes by compiled code.
    """
    if b"\\" in piece:
        piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = (b'"' if quoted else b"") + piece.translate(_QUOTES_AND_BRACKETS, _ALL_ELSE)
    open_string = marks.count(b'"') % 2 == 1
    marks = marks.replace(b'""', b"")  # strings without brackets in them
    if b'"' in marks:
        marks = b"".join(marks.split(b'"')[::2])
    for _ in range(ROUNDS):
        marks = marks.replace(b"{}", b"")
    closed = max(0, -min(accumulate(1 if mark == ord("{") else -1 for mark in marks), default=0))
    return closed, 2 * marks.count(b"{") - len(marks) + closed, open_string
