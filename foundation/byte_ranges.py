"""Which bytes of a file a request asks for, and under which conditions (RFC 9110, sections 13 and 14).

One range is served; several, or a header that cannot be read, get the whole file, as the standard allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from foundation.errors import AppError

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,20})-(\d{0,20})\s*", re.IGNORECASE)


class RangeNotSatisfiableError(AppError):
    """The range begins after the end of the file; `headers` contain its size."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__("The file has no byte in this range.")
        self.headers = {"Content-Range": f"bytes */{size}"}


class PreconditionFailedError(AppError):
    """The file does not match If-Match."""

    code = "precondition_failed"


@dataclass(frozen=True)
class ByteRange:
    """Bytes `first` to `last`, both included, counted from 0."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many bytes that is."""
        return self.last - self.first + 1


class RangeReader:
    """The bytes of one range of an open file, read in order; closing it closes the file."""

    def __init__(self, file: BinaryIO, wanted: ByteRange) -> None:
        self._file = file
        self._left = wanted.length
        file.seek(wanted.first)

    def read(self, size: int = -1) -> bytes:
        """At most `size` more bytes of the range; none at its end."""
        block = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(block)
        return block

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def wanted_range(headers: Mapping[str, str], size: int, etag: str) -> ByteRange | None:
    """The range that a GET asks for; None for the whole file.

    Args:
        headers: the request's headers, of which Range and If-Range count.
        size: of the file, in bytes.
        etag: the file's strong entity tag, quoted.

    Raises:
        RangeNotSatisfiableError: the file has no byte of it.
    """
    asked = _RANGE.fullmatch(headers.get("Range", ""))
    if asked is None or headers.get("If-Range", etag).strip() != etag:
        return None
    first, last = asked.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start > end:
        raise RangeNotSatisfiableError(size)
    return ByteRange(start, end)


def is_known(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the caller has this very file already (If-None-Match), so that 304 is the answer.

    Raises:
        PreconditionFailedError: the caller wants another file (If-Match).
    """
    expected = headers.get("If-Match")
    if expected is not None and not _names(expected, etag, strongly=True):
        raise PreconditionFailedError("The file does not match If-Match.")
    return _names(headers.get("If-None-Match", ""), etag, strongly=False)


def _names(header: str, etag: str, *, strongly: bool) -> bool:
    if header.strip() == "*":
        return True
    tags = [tag.strip() for tag in header.split(",")]
    return etag in (tags if strongly else [tag.removeprefix("W/") for tag in tags])
