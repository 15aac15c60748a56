"""Contents are read from any answer of HTTP, over kept connections, with the identity and TLS of their system."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest

from bundles.sources.client import Dropped, SourceClient
from bundles.sources.faults import ARTIFACTS
from bundles.sources.limits import DEFAULT_LIMITS
from bundles.sources.profiles import Credential, System
from jobs.errors import PermanentError

PLAIN = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "v"\r\n\r\nhello'


class Scripted:
    """Answers the requests of each connection with the given bytes, one after the other; then closes.

    Attributes:
        heads: the head of each request.
        connections: how many there were.
    """

    def __init__(self, *connections: list[bytes], tls: ssl.SSLContext | None = None) -> None:
        self._scripts, self._tls = list(connections), tls
        self.heads: list[str] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        for script in self._scripts:
            with suppress(OSError):
                plain, _ = self._listener.accept()
                self.connections += 1
                connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
                with connection, connection.makefile("rb") as reader:
                    for answer in script:
                        head = []
                        while (line := reader.readline()) not in {b"\r\n", b""}:
                            head.append(line.decode("latin-1"))
                        if not head:
                            break
                        self.heads.append("".join(head))
                        connection.sendall(answer)


@contextmanager
def client_of(
    server: Scripted, scheme: str = "http", host: str = "127.0.0.1", **settings: Any
) -> Iterator[SourceClient]:
    system = System(name="s", adapter="x", url=f"{scheme}://{host}:{server.port}/base", timeout_s=5, **settings)
    with SourceClient(ARTIFACTS, system, DEFAULT_LIMITS) as client:
        client.allow()
        yield client


def got(client: SourceClient) -> tuple[int, bytes]:
    with client.content("/x", {"Range": "bytes=0-"}) as answer:
        pieces = []
        while piece := answer.read(3):
            pieces.append(piece)
        return answer.status_code, b"".join(pieces)


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (PLAIN, 200, b"hello"),
        (b"HTTP/1.1 206 Partial\r\ncontent-LENGTH:  5 \r\n\r\nhello", 206, b"hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Folded: a\r\n b\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Large: " + b"x" * 60_000 + b"\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404, b"no"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    ],
    ids=["plain", "206", "chunked", "folded", "large head", "empty", "404", "204"],
)
def test_an_answer_is_read_whole_and_the_connection_kept(answer, status, body):
    with Scripted([answer, PLAIN]) as server, client_of(server) as client:
        assert got(client) == (status, body)
        assert got(client) == (200, b"hello")
    assert server.connections == 1
    assert server.heads[0].startswith("GET /base/x HTTP/1.1\r\n")
    for field in (f"Host: 127.0.0.1:{server.port}", "Range: bytes=0-", "Accept-Encoding: identity"):
        assert f"{field}\r\n" in server.heads[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["HTTP/1.0", "no length", "close"],
)
def test_a_connection_that_ends_with_its_answer_is_not_used_again(answer):
    with Scripted([answer], [PLAIN]) as server, client_of(server) as client:
        assert got(client) == (200, b"hello")
        assert got(client) == (200, b"hello")
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"[:-1],
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
    ids=["nothing", "cut", "a cut chunk", "two lengths", "no HTTP", "a head without end"],
)
def test_an_answer_that_breaks_off_is_dropped(answer):
    with Scripted([answer]) as server, client_of(server) as client, pytest.raises(Dropped):
        got(client)


def test_what_was_not_read_of_an_answer_is_not_taken_for_the_next_one():
    with Scripted([PLAIN], [PLAIN]) as server, client_of(server) as client:
        with client.content("/x", {}) as answer:
            assert answer.read(1) == b"h"
        assert got(client) == (200, b"hello")
    assert server.connections == 2


def test_a_kept_connection_that_was_closed_is_replaced_once():
    with Scripted([PLAIN], [PLAIN]) as server, client_of(server) as client:
        assert got(client) == (200, b"hello")
        assert got(client) == (200, b"hello")
    assert server.connections == 2


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    """A CA, a certificate of 127.0.0.1 and one of a client that it issued, and another CA."""
    made: Path = tmp_path_factory.mktemp("keys")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=made, check=True, capture_output=True)

    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.pem", "-days", "2", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    (made / "server.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    (made / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", "csr")
        openssl("x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
    return made


def tls_of(keys: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(keys / "server.pem", keys / "server.key")
    made.load_verify_locations(keys / "ca.pem")
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def test_contents_are_asked_for_with_the_systems_certificates_and_credential(keys):
    (keys / "token").write_text("s3cret\n")
    settings = {
        "ca_file": keys / "ca.pem", "client_cert": keys / "client.pem", "client_key": keys / "client.key",
        "credential": Credential(kind="bearer", secret_file=keys / "token"),
    }  # fmt: skip
    with Scripted([PLAIN, PLAIN], tls=tls_of(keys)) as server, client_of(server, "https", **settings) as client:
        assert got(client) == (200, b"hello")
        (keys / "token").write_text("rotated\n")
        assert got(client) == (200, b"hello")
    assert server.connections == 1
    assert "Authorization: Bearer s3cret\r\n" in server.heads[0]
    assert "Authorization: Bearer rotated\r\n" in server.heads[1]


@pytest.mark.parametrize(("ca", "host"), [("other.pem", "127.0.0.1"), ("ca.pem", "localhost"), (None, "127.0.0.1")])
def test_a_certificate_that_is_not_accepted_is_a_fault_of_the_settings(keys, ca, host):
    settings = {
        "ca_file": keys / ca if ca else None,
        "client_cert": keys / "client.pem",
        "client_key": keys / "client.key",
    }
    with (
        Scripted([PLAIN], tls=tls_of(keys)) as server,
        client_of(server, "https", host, **settings) as client,
        pytest.raises(PermanentError, match="certificate is not accepted") as raised,
    ):
        got(client)
    assert raised.value.code == "source_misconfigured"
    assert server.heads == []
