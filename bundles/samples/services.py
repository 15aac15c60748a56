"""The three upstream services on loopback, served from folders of incidents, in threads of one process.

They use HTTP/1.1 with persistent connections, pages, ranges and streamed bodies like real services. One thread waits
for connections to all of them; nothing polls. Neither Django nor settings are needed. Tests override `intercept` to
make a service misbehave.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
from collections.abc import Collection, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import parse_qs, unquote, urlsplit

from bundles.samples.folder import Folders
from foundation import byte_ranges

SERVICES = KILLCHAIN, FORENSIC, DB = "killchain", "forensic", "db"
BLOCK_BYTES = 256 * 1024
MAX_QUERY_BYTES = 64 * 1024
MAX_PAGE = 1000
TIMELINE_PATH = "/api/v1/timeline/"
ARTIFACTS_PATH = "/api/v1/artifacts"


class SampleServices:
    """Three servers on 127.0.0.1, or some of them.

    Args:
        data_dirs: folders of incidents.
        ports: service → port; by default, or for 0, the system chooses one.
        only: the services to start.
    """

    def __init__(
        self, data_dirs: Sequence[Path], ports: dict[str, int] | None = None, *, only: Collection[str] = SERVICES
    ) -> None:
        self.folders = Folders(data_dirs)
        self._servers: dict[str, ThreadingHTTPServer] = {}
        self._thread: threading.Thread | None = None
        self._stopping: socket.socket | None = None  # closing it ends the thread
        self._wanted = {name: (ports or {}).get(name, 0) for name in only}

    @property
    def ports(self) -> dict[str, int]:
        """Service → the port it listens on."""
        return {name: server.server_address[1] for name, server in self._servers.items()}

    def url(self, service: str) -> str:
        """The base URL of a service."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def start(self) -> Self:
        """Listen on all ports, or on none.

        Raises:
            OSError: a port is taken; its message names the port.
        """
        try:
            for name, port in self._wanted.items():
                self._servers[name] = self._listen(name, port)
        except OSError:
            self.stop()
            raise
        self._stopping, stop = socket.socketpair()
        servers = list(self._servers.values())
        self._thread = threading.Thread(target=_accept, args=(servers, stop), name="samples", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening; exchanges in progress are abandoned."""
        if self._thread is not None and self._stopping is not None:
            self._stopping.close()
            self._thread.join()
        for server in self._servers.values():
            server.server_close()
        self._servers, self._thread, self._stopping = {}, None, None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_ignored: object) -> None:
        self.stop()

    def intercept(self, exchange: Exchange) -> bool:  # noqa: ARG002 -- for tests to override
        """Answer instead of the service, and return True; this default returns False."""
        return False

    def _listen(self, name: str, port: int) -> ThreadingHTTPServer:
        handler = type("BoundExchange", (Exchange,), {"services": self, "service": name})
        try:
            return _Server(("127.0.0.1", port), handler)
        except OSError as error:
            raise OSError(error.errno, f"port {port} for the {name} service: {error.strerror}") from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an idle persistent connection must not delay stopping

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


def _accept(servers: Sequence[ThreadingHTTPServer], stop: socket.socket) -> None:
    """Handle each connection in a thread of its own, until the other end of `stop` is closed."""
    with selectors.DefaultSelector() as selector, stop:
        selector.register(stop, selectors.EVENT_READ)
        for server in servers:
            server.socket.settimeout(0)  # a client may disconnect before it is accepted
            server.timeout = 0
            selector.register(server, selectors.EVENT_READ, server)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    return
                key.data.handle_request()


class Exchange(BaseHTTPRequestHandler):
    """One request to one of the services."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    services: SampleServices
    service: str
    body = b""

    def do_GET(self) -> None:
        """Answer a GET."""
        if self.services.intercept(self):
            return
        parts = urlsplit(self.path)
        if parts.path == "/health":
            self.send_json({"ok": True, "service": self.service})
        elif self.service == KILLCHAIN and parts.path.startswith(TIMELINE_PATH):
            self._timeline(unquote(parts.path[len(TIMELINE_PATH) :]))
        elif self.service == FORENSIC and parts.path == ARTIFACTS_PATH:
            self._artifacts(parse_qs(parts.query).get("incident_id", [""])[0])
        elif self.service == FORENSIC and parts.path.startswith(ARTIFACTS_PATH) and parts.path.endswith("/content"):
            self._content(unquote(parts.path[len(ARTIFACTS_PATH) + 1 : -len("/content")]))
        else:
            self.send_json({"error": "not found"}, 404)

    def do_POST(self) -> None:
        """Answer a POST."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_QUERY_BYTES:
            self.close_connection = True
            self.send_json({"error": "a body with its length is required"}, 411)
            return
        self.body = self.rfile.read(int(length))
        if self.services.intercept(self):
            return
        if self.service == DB and self.path == "/query/alerts":
            self._alerts(self.body)
        else:
            self.send_json({"error": "not found"}, 404)

    def send_json(self, answer: Any, code: int = 200) -> None:
        """Answer with JSON."""
        body = json.dumps(answer).encode()
        self.send_head(code, len(body), "application/json")
        self.wfile.write(body)

    def send_head(self, code: int, length: int, kind: str, **fields: str) -> None:
        """Send the status line and the headers; underscores in `fields` become dashes."""
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_ignored: object) -> None:
        """Log nothing."""

    def _timeline(self, incident_id: str) -> None:
        file = self.services.folders.open(incident_id, "timeline.json")
        if file is None:
            self.send_json({"error": "unknown incident"}, 404)
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            self.send_head(200, size, "application/json")
            self._stream(file, size)

    def _alerts(self, body: bytes) -> None:
        try:
            query = json.loads(body)
            incident_id, limit, offset = query["correlation_id"], query.get("limit", 100), query.get("offset", 0)
            if not 0 < limit <= MAX_PAGE or offset < 0:
                raise ValueError(limit)
        except (ValueError, TypeError, KeyError):
            self.send_json({"error": "correlation_id, limit and offset are required"}, 400)
            return
        alerts = self.services.folders.alerts(incident_id)
        body = f'{{"alerts": [{",".join(alerts[offset : offset + limit])}], "total": {len(alerts)}}}'.encode()
        self.send_head(200, len(body), "application/json")
        self.wfile.write(body)

    def _artifacts(self, incident_id: str) -> None:
        file = self.services.folders.open(incident_id, "artifacts.json")
        if file is None:
            self.send_json({"error": "unknown incident"}, 404)
            return
        with file:  # the file is the array; it is wrapped in an object without being parsed
            size = os.fstat(file.fileno()).st_size
            self.send_head(200, size + len(b'{"artifacts": }'), "application/json")
            self.wfile.write(b'{"artifacts": ')
            self._stream(file, size)
            self.wfile.write(b"}")

    def _content(self, artifact_id: str) -> None:
        file = self.services.folders.artifact(artifact_id)
        if file is None:
            self.send_json({"error": "unknown artifact"}, 404)
            return
        with file:
            stat = os.fstat(file.fileno())
            etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
            fields = {"Accept_Ranges": "bytes", "ETag": etag}
            try:
                part = byte_ranges.wanted_range(dict(self.headers.items()), stat.st_size, etag)
            except byte_ranges.RangeNotSatisfiableError:
                fields["Content_Range"] = f"bytes */{stat.st_size}"
                self.send_head(416, 0, "application/octet-stream", **fields)
                return
            start, length = (part.first, part.length) if part else (0, stat.st_size)
            if part:
                fields["Content_Range"] = f"bytes {part.first}-{part.last}/{stat.st_size}"
            self.send_head(206 if part else 200, length, "application/octet-stream", **fields)
            file.seek(start)
            self._stream(file, length)

    def _stream(self, file: BinaryIO, left: int) -> None:
        while left and (block := file.read(min(left, BLOCK_BYTES))):
            self.wfile.write(block)
            left -= len(block)
