"""The server of the sources part: nginx where it is installed, else threads with sendfile; the same for every side.

Both serve files of a folder by path, without their query. `sources_server FOLDER` serves with threads until its
standard input ends, and prints its port.
"""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.surroundings import free_ports

CONFIGURATION = """
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000; default_type application/octet-stream;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port} reuseport; root {root};
    error_page 405 =200 $uri;  # the alerts are asked for by POST
    location = /api/v1/artifacts {{ try_files /artifacts.json =404; }}
  }}
}}
"""


@contextmanager
def serving(root: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Serve the files below `root`; `folder` is for the server's own files. Yields its URL and its name."""
    nginx = os.environ.get("BENCH_NGINX") or shutil.which("nginx")
    if nginx:
        (port,) = free_ports(1)
        (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port, root=root))
        command = [nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    else:
        command = [sys.executable, "-m", "benchmarks.sources_server", str(root)]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if server.stdout is None:
            raise RuntimeError("it has no standard output")
        port = int(server.stdout.readline())
    try:
        _await(port)
        yield f"http://127.0.0.1:{port}", "nginx" if nginx else "threads with sendfile"
    finally:
        server.terminate()
        server.wait()


def _await(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server does not start")


class _Connection(socketserver.StreamRequestHandler):
    root = Path()

    def handle(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while line := self.rfile.readline():
            length = 0
            while (field := self.rfile.readline()) not in {b"\r\n", b""}:
                name, _, value = field.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            path = line.split()[1].split(b"?")[0].decode()
            file = self.root / ("artifacts.json" if path == "/api/v1/artifacts" else path.lstrip("/"))
            with file.open("rb") as opened:
                size = os.fstat(opened.fileno()).st_size
                self.connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
                self.connection.sendfile(opened)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def main() -> None:
    """Serve with threads."""
    _Connection.root = Path(sys.argv[1])
    with _Server(("127.0.0.1", 0), _Connection) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
