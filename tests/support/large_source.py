"""A source with one large artifact, and a process that collects from it, to be killed while it does.

`python -m tests.support.large_source URL STAGING` collects the incident and prints its artifacts' sizes and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

MIB = 1024 * 1024
PIECE_BYTES = 256 * 1024
INCIDENT = "case-large"
NAME = "memory.raw"


class LargeSource:
    """The three services, with one artifact whose every MiB is another.

    Args:
        size_mib: of the artifact.
        rate_mib_s: the fastest that it is sent; what a killed client had not read from its socket counts as sent.
        when: called with how many bytes of the artifact were sent at the furthest, whenever that grew.

    Attributes:
        sent_bytes: of the artifact, over all requests.
        asked: the path and range of each request.
    """

    def __init__(self, size_mib: int, *, rate_mib_s: float, when: Callable[[int], None] = lambda _: None) -> None:
        self.size_bytes = size_mib * MIB
        self.sent_bytes = self.furthest = 0
        self.asked: list[tuple[str, str]] = []
        self.when = when
        self.tag = '"v1"'
        self._pause_s = PIECE_BYTES / MIB / rate_mib_s
        self._block = os.urandom(MIB)
        digest = hashlib.sha256()
        for number in range(size_mib):
            digest.update(self._mib(number))
        self.sha256 = digest.hexdigest()
        source = self

        class Exchange(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                source.answer(self)

            do_POST = do_GET  # noqa: N815 -- the name is that of http.server

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that was killed is no event."""

        self._server = Server(("127.0.0.1", 0), Exchange)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _mib(self, number: int) -> bytes:
        return number.to_bytes(8, "big") + self._block[8:]

    def answer(self, exchange: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        exchange.rfile.read(int(exchange.headers.get("Content-Length", "0")))
        self.asked.append((exchange.path.split("?")[0], exchange.headers.get("Range", "")))
        if exchange.path.endswith("/content"):
            with suppress(OSError):
                self._send_content(exchange)
            return
        record = {"artifact_id": "a-1", "name": NAME, "size": self.size_bytes, "sha256": self.sha256}
        answers = {
            "/api/v1/timeline/": {"incident_id": INCIDENT, "events": []},
            "/query/alerts": {"alerts": [], "total": 0},
            "/api/v1/artifacts": {"artifacts": [record]},
        }
        body = json.dumps(next(one for path, one in answers.items() if exchange.path.startswith(path))).encode()
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(body)))
        exchange.end_headers()
        exchange.wfile.write(body)

    def _send_content(self, exchange: BaseHTTPRequestHandler) -> None:
        exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE_BYTES)
        wanted = re.fullmatch(r"bytes=(\d+)-", exchange.headers.get("Range", ""))
        at = int(wanted[1]) if wanted and exchange.headers.get("If-Range", self.tag) == self.tag else 0
        exchange.send_response(206 if at else 200)
        exchange.send_header("ETag", self.tag)
        exchange.send_header("Content-Length", str(self.size_bytes - at))
        if at:
            exchange.send_header("Content-Range", f"bytes {at}-{self.size_bytes - 1}/{self.size_bytes}")
        exchange.end_headers()
        while at < self.size_bytes:
            number, start = divmod(at, MIB)
            piece = self._mib(number)[start : start + PIECE_BYTES]
            exchange.wfile.write(piece)
            at += len(piece)
            self.sent_bytes += len(piece)
            if at > self.furthest:
                self.furthest = at
                self.when(at)
            time.sleep(self._pause_s)


def collecting(source: LargeSource, staging: Path) -> subprocess.Popen[str]:
    """Start a process that collects from the source into `staging`."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.large_source", source.url, str(staging)],
        stdout=subprocess.PIPE,
        text=True,
    )


def main() -> None:
    """Collect, and print what came and the most memory that it took in MiB."""
    from bundles.sources import profiles
    from bundles.sources.live import LiveSource

    url, staging = sys.argv[1], Path(sys.argv[2])
    profile = profiles.of_three_services(timeline_url=url, alerts_url=url, artifacts_url=url, timeout_s=10)
    evidence = LiveSource(profile=profile, storage=staging / "no-store").collect(
        INCIDENT, staging, allow_partial=False, on_progress=lambda _: None, check=lambda: None
    )
    memory = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    found = [(artifact.size, artifact.sha256) for artifact in evidence.artifacts]
    sys.stdout.write(json.dumps({"artifacts": found, "rss_mib": int(memory) / 1024}) + "\n")


if __name__ == "__main__":
    main()
