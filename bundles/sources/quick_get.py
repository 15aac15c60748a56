"""GET over a kept connection with little work for each answer, for thousands of small contents.

Connections are made by `requests` and urllib3, with their TLS, and their reads use the allowance of the client. A plain
answer (HTTP/1.1, one Content-Length, no transfer coding) is read here; every other one by `http.client`.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Mapping
from typing import Any, cast

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

HEAD_END = b"\r\n\r\n"
MOST_LENGTH_DIGITS = 18
_PLAIN_VERSIONS = (b"HTTP/1.1 200 ", b"HTTP/1.1 206 ")


class EndedError(Exception):
    """The connection ended before the answer did."""


class QuickConnection:
    """One connection.

    Args:
        connected: by urllib3.
    """

    def __init__(self, connected: urllib3.connection.HTTPConnection) -> None:
        self._connected = connected
        sock = cast("Any", connected.sock)
        self._socket = sock
        self._reader = cast("io.BufferedReader", sock.makefile("rb"))
        self.used = False

    def get(self, head: bytes) -> QuickAnswer:
        """Send a request and read the head of its answer.

        Args:
            head: the request, to the empty line.

        Raises:
            OSError, EndedError, http.client.HTTPException: there is no answer.
        """
        self._socket.sendall(head)
        start = self._reader.peek()
        if not start:
            raise EndedError
        self.used = True
        end = start.find(HEAD_END)
        if end > 0 and start.startswith(_PLAIN_VERSIONS):
            fields = _plain_fields(start[:end])
            if fields is not None:
                self._reader.read(end + len(HEAD_END))
                return QuickAnswer(int(start[9:12]), fields, self._reader, int(fields["content-length"]))
        return _by_http_client(self._reader)

    def close(self) -> None:
        """Close it."""
        self._reader.close()
        self._connected.close()


class QuickAnswer:
    """The answer, with its body unread.

    Attributes:
        status_code: of the answer.
        headers: its fields; names in any case.
    """

    def __init__(
        self, status_code: int, headers: Mapping[str, str], reader: io.BufferedReader, length: int | None
    ) -> None:
        self.status_code = status_code
        self.headers = CaseInsensitiveDict(headers)
        self._reader = reader
        self._left = length
        self._other: http.client.HTTPResponse | None = None

    @property
    def is_read(self) -> bool:
        """Whether the whole body was read and the connection can take another request."""
        if self._other is not None:
            return (self._other.isclosed() or self._other.length == 0) and not self._other.will_close
        return self._left == 0 and self.headers.get("Connection", "").lower() != "close"

    def read(self, most: int) -> bytes:
        """The next available bytes of the body; empty at its end.

        Raises:
            OSError, EndedError, http.client.HTTPException: the connection broke off.
        """
        if self._other is not None:
            piece = self._other.read1(most)
            if not piece and self._other.length:
                raise EndedError
            return piece
        if not self._left:
            return b""
        piece = self._reader.read1(min(most, self._left))
        if not piece:
            raise EndedError
        self._left -= len(piece)
        return piece


def _plain_fields(head: bytes) -> dict[str, str] | None:
    """The fields of a plain answer; None if `http.client` should read it."""
    fields: dict[str, str] = {}
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        key = name.lower().decode("latin-1")
        if not colon or not name or name != name.strip() or b"\n" in line or b"\r" in line or key in fields:
            return None
        fields[key] = value.strip().decode("latin-1")
    length = fields.get("content-length", "")
    plain = length.isascii() and length.isdigit() and len(length) <= MOST_LENGTH_DIGITS
    return fields if plain and "transfer-encoding" not in fields else None


class _Readable:
    """What `http.client` takes for a socket: its file is the reader that was begun."""

    def __init__(self, reader: io.BufferedReader) -> None:
        self._reader = reader

    def makefile(self, *_: Any) -> Any:
        return _Borrowed(self._reader)


class _Borrowed:
    """The reader, which stays open when `http.client` closes its file at the end of an answer."""

    def __init__(self, reader: io.BufferedReader) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def close(self) -> None:
        """Nothing: the connection closes the reader."""

    def flush(self) -> None:
        """Nothing: nothing is written."""


def _by_http_client(reader: io.BufferedReader) -> QuickAnswer:
    response = http.client.HTTPResponse(cast("Any", _Readable(reader)), method="GET")
    response.begin()
    answer = QuickAnswer(response.status, dict(response.headers.items()), reader, None)
    answer._other = response  # noqa: SLF001 -- of this module
    return answer


def connect(
    transport: requests.adapters.HTTPAdapter,
    url: str,
    *,
    verify: bool | str | None,
    cert: str | tuple[str, str] | None,
    connect_s: float,
) -> QuickConnection:
    """A new connection to the host of `url`, with the TLS settings of `requests`.

    Raises:
        urllib3.exceptions.HTTPError, OSError: there is none.
    """
    request = requests.Request("GET", url).prepare()
    pool = transport.get_connection_with_tls_context(request, verify, cert=cert)
    transport.cert_verify(pool, url, verify, cert)  # type: ignore[no-untyped-call]
    connected = cast("Any", pool)._new_conn()  # noqa: SLF001 -- urllib3 offers no other way
    connected.timeout = connect_s
    connected.connect()
    if url.lower().startswith("https:") and not connected.is_verified:
        connected.close()
        raise urllib3.exceptions.SSLError("the certificate was not verified")
    return QuickConnection(connected)
