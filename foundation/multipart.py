"""Reads multipart/form-data as a stream: each part once, in order, within bounded memory (RFC 7578, RFC 2046).

Nothing touches the disk here, and a body that ends before its closing boundary raises instead of giving a short file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from django.utils.http import parse_header_parameters

from foundation.errors import AppError

BLOCK_BYTES = 256 * 1024
MAX_HEADER_BYTES = 8 * 1024
MAX_FIELD_BYTES = 8 * 1024
MAX_PARTS = 16
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


class MultipartInvalidError(AppError):
    """The body is no complete multipart form, or one beyond the limits of this module."""

    code = "invalid_request"


class Readable(Protocol):
    """What a request's body can do."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


@dataclass(frozen=True)
class Part:
    """One part of a form. Its content must be read before the next part is asked for; what is not read is skipped.

    Attributes:
        name: the field's name.
        filename: the name the client gave a file; None for a plain field.
        content: the bytes, block by block.
    """

    name: str
    filename: str | None
    content: Iterator[bytes]

    def text(self) -> str:
        """A plain field's value.

        Raises:
            MultipartInvalidError: longer than 8 KiB, or not UTF-8.
        """
        value = bytearray()
        for block in self.content:
            value += block
            if len(value) > MAX_FIELD_BYTES:
                raise MultipartInvalidError(f"A form field is longer than {MAX_FIELD_BYTES} bytes.")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MultipartInvalidError("A form field is not UTF-8.") from error


def parts_of(stream: Readable, content_type: str) -> Iterator[Part]:
    """The parts of a form.

    Args:
        stream: the body.
        content_type: the request's Content-Type, with its boundary.

    Raises:
        MultipartInvalidError: while iterating, or while reading a part: malformed, truncated, or too many parts.
    """
    boundary = parse_header_parameters(content_type)[1].get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise MultipartInvalidError("The multipart boundary is missing or malformed.")
    reader = _Reader(stream, b"\r\n--" + boundary.encode("ascii"))
    if any(reader.until_boundary()):
        raise MultipartInvalidError("The form does not begin with its boundary.")
    for _ in range(MAX_PARTS):
        ending = reader.take(2)
        if ending == b"--":
            return
        if ending != b"\r\n":
            raise MultipartInvalidError("A boundary is malformed.")
        name, filename = _disposition(reader.header())
        content = reader.until_boundary()
        yield Part(name, filename, content)
        for _ in content:
            pass
    raise MultipartInvalidError(f"The form has more than {MAX_PARTS - 1} parts.")


class _Reader:
    """Looks for delimiters in a stream without holding more than two blocks of it."""

    def __init__(self, stream: Readable, delimiter: bytes) -> None:
        self._stream = stream
        self._delimiter = delimiter
        self._held = bytearray(b"\r\n")  # so that the first boundary looks like the others

    def until_boundary(self) -> Iterator[bytes]:
        keep = len(self._delimiter) - 1
        while (at := self._held.find(self._delimiter)) < 0:
            if len(self._held) > keep:
                yield bytes(self._held[:-keep])
                del self._held[:-keep]
            self._fill()
        if at:
            yield bytes(self._held[:at])
        del self._held[: at + len(self._delimiter)]

    def take(self, size: int) -> bytes:
        while len(self._held) < size:
            self._fill()
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def header(self) -> bytes:
        while (at := self._held.find(b"\r\n\r\n", 0, MAX_HEADER_BYTES)) < 0:
            if len(self._held) >= MAX_HEADER_BYTES:
                raise MultipartInvalidError("A part's header is too long.")
            self._fill()
        header = bytes(self._held[:at])
        del self._held[: at + 4]
        return header

    def _fill(self) -> None:
        block = self._stream.read(BLOCK_BYTES)
        if not block:
            raise MultipartInvalidError("The form ends before its closing boundary.")
        self._held += block


def _disposition(header: bytes) -> tuple[str, str | None]:
    """The field's name, and the file's where there is one."""
    try:
        lines = header.decode("utf-8").split("\r\n")
    except UnicodeDecodeError as error:
        raise MultipartInvalidError("A part's header is not UTF-8.") from error
    for line in lines:
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-disposition":
            kind, parameters = parse_header_parameters(value)
            if kind == "form-data" and parameters.get("name"):
                return parameters["name"], parameters.get("filename")
    raise MultipartInvalidError("A part has no name.")
