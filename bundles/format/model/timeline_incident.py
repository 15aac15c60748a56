"""Whose timeline a `timeline.json` says it is, told while its bytes pass: it must be the manifest's incident.

An `incident_id` counts in the outermost object, and in the object `timeline` there, which older bundles have around the
rest. It may stand before or behind the events. Memory does not grow with the file. What is not JSON is passed over
here; readers of records refuse it.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate

KEPT_BYTES = 1024  # of one string; an incident id, each letter escaped, has at most 768
FIRST_STEP_BYTES = 256
ROUNDS = 8

_TEXT = rb'(?:[^"\\]++|\\.)*+'
_BLANK = rb"[ \t\r\n]*+"
_STRING_PART = re.compile(_TEXT, re.DOTALL)
_BLANKS = re.compile(_BLANK)
_SCALAR = re.compile(rb'[^"\[\]{}:, \t\r\n]++')
_UP_TO_A_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"' + _TEXT + rb'")*+', re.DOTALL)
# Keys that mean nothing here, each with a value that is neither object nor array.
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
        names_another: an incident id that is not the manifest's was found; null names none.
    """

    def __init__(self, incident_id: str) -> None:
        self.names_another = False
        self._incident_id = incident_id
        self._depth = 0
        self._in_timeline = False  # inside the outermost object's `timeline`
        self._quoted = False
        self._kept = bytearray()  # of the string that is open, at the depth of the timeline's own keys
        self._last = ""  # the string before, which is a key if a colon follows
        self._key = ""
        self._scalar = bytearray()
        self._rest = b""

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
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
        """Read one token between the keys and values of the timeline itself."""
        scalar = _SCALAR.match(view, position)
        if scalar:
            self._scalar += scalar[0][: 5 - len(self._scalar)]
            return scalar.end()
        if self._scalar:
            if self._key == "incident_id":
                self._judge(same=self._scalar == b"null")
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
        """Keep the start of a string that may be a key, or an incident id."""
        found = _STRING_PART.match(view, position)
        end = found.end() if found else position
        self._kept += view[position : min(end, position + KEPT_BYTES + 1 - len(self._kept))]
        if end == len(view):
            return end
        if view[end] != ord('"'):  # a backslash whose other half is yet to come
            self._rest = view[end:]
            return len(view)
        self._last, self._quoted = _decoded(bytes(self._kept)), False
        self._kept.clear()
        if self._key == "incident_id":
            self._judge(same=self._last == self._incident_id)
        return end + 1

    def _in_value(self, view: bytes, position: int) -> int:
        """Pass over what is inside a value, in steps that grow, as most of a timeline is events."""
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
        """Read the same bracket by bracket, up to the one that ends the value."""
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
                self._judge(same=False)
            if self._depth == 1:
                self._in_timeline = token == ord("{") and self._key == "timeline"
            elif self._depth == 0 and token == ord("["):
                self._depth = 1  # an array has no keys of its own: one level deeper than what is looked at
            self._depth += 1
        else:
            self._depth = max(0, self._depth - 1)
            self._in_timeline = self._in_timeline and self._depth > 1
        self._key = self._last = ""

    def _judge(self, *, same: bool) -> None:
        self.names_another = self.names_another or not same
        self._key = ""


def _decoded(text: bytes) -> str:
    """A string's text; empty, which is no incident id, where it cannot be told."""
    try:
        return str(json.loads(b'"' + text + b'"')) if len(text) <= KEPT_BYTES else ""
    except ValueError:
        return ""


def _before_half_an_escape(view: bytes, position: int, end: int) -> int:
    """`end`, or where a backslash would be cut off what it escapes, one byte away."""
    end = min(end, len(view))
    piece = view[position:end]
    if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
        return end + 1 if end < len(view) else end - 1
    return end


def _balance(piece: bytes, *, quoted: bool) -> tuple[int, int, bool]:
    """How many brackets of before `piece` closes, how many it leaves open, and whether it ends within a string.

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
