"""The text of a JSON answer, decoded piece by piece, with the byte offset and the line of every character.

A byte order mark is skipped. Bytes that are not UTF-8 do not end the reading: each becomes a lone low surrogate, which
UTF-8 cannot contain, so that a reader can refuse the one record that has them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

BYTE_ORDER_MARK = "\ufeff"
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of bytes that are not UTF-8
_FIRST_BYTES = 4  # enough to tell UTF-8 from UTF-16 and UTF-32


class MalformedError(ValueError):
    """The input is not the expected JSON; the message quotes at most ids and field names, escaped and shortened."""


class EndedEarlyError(MalformedError):
    """The input ended in the middle of a value: it was cut off."""


class JsonText:
    """A window of decoded text that moves over pieces of bytes.

    Args:
        pieces: the document, split anywhere.

    Attributes:
        text: the window.
        at: index in it of the next character to read.
        suspect: whether the document had bytes that are not UTF-8.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.text = ""
        self.at = 0
        self.suspect = False
        self._pieces = pieces
        self._utf8 = codecs.getincrementaldecoder("utf-8")("strict")
        self._begun = False
        self._ended = False
        self._bytes_before = 0  # bytes and line breaks of the document before the window
        self._lines_before = 0
        self._counted = (0, 0)  # an index in the window, and the line breaks before it

    def offset(self, index: int) -> int:
        """The byte offset in the document of the character at `index` of the window."""
        return self._bytes_before + size_of(self.text[:index])

    def line(self, index: int) -> int:
        """The line, from 1, of the character at `index` of the window."""
        at, breaks = self._counted if index >= self._counted[0] else (0, 0)
        breaks += self.text.count("\n", at, index)
        self._counted = (index, breaks)
        return 1 + self._lines_before + breaks

    def fill(self, characters: int) -> bool:
        """Read at least so many characters more, or up to the end, and drop those before `at`.

        Returns:
            Whether there were any.

        Raises:
            EndedEarlyError: the document ends in the middle of a character.
            MalformedError: it is UTF-16 or UTF-32.
        """
        if self._ended:
            return False
        more: list[str] = []
        count = 0
        while count < characters and not self._ended:
            piece = next(self._pieces, b"")
            self._ended = not piece
            text = self._decoded(piece if self._begun else self._first(piece))
            more.append(text)
            count += len(text)
        done = self.text[: self.at]
        self._bytes_before += size_of(done)
        self._lines_before += done.count("\n")
        self._counted = (0, 0)
        self.text = self.text[self.at :] + "".join(more)
        self.at = 0
        if not self._begun and self.text:
            self._begun = True
            if self.text.startswith(BYTE_ORDER_MARK):
                self.text = self.text[1:]
                self._bytes_before = len(BYTE_ORDER_MARK.encode())
        return bool(self.text) and count > 0

    def _first(self, piece: bytes) -> bytes:
        while len(piece) < _FIRST_BYTES and not self._ended:
            more = next(self._pieces, b"")
            self._ended = not more
            piece += more
        if piece[:2] in {b"\xff\xfe", b"\xfe\xff"} or 0 in piece[:2]:
            raise MalformedError("it is UTF-16 or UTF-32, and JSON must be UTF-8 (RFC 8259, section 8.1)")
        return piece

    def _decoded(self, piece: bytes) -> str:
        try:
            return self._utf8.decode(piece, final=self._ended)
        except UnicodeDecodeError as error:
            if not piece:
                raise EndedEarlyError("it ends in the middle of a character") from error
        self.suspect = True
        rest = self._utf8.getstate()
        self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._utf8.setstate(rest)
        return self._utf8.decode(piece, final=self._ended)


def size_of(text: str) -> int:
    """The bytes that `text` had in the document."""
    return len(text) if text.isascii() else len(encoded(text))


def encoded(text: str) -> bytes:
    """The bytes of `text` as they were in the document."""
    return text.encode("utf-8", "surrogateescape")
