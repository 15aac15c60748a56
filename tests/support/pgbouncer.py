"""A real pgbouncer in transaction mode in front of the test run's PostgreSQL, on its own loopback port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
from django.db import connection

PATIENCE_S = 240.0


@contextlib.contextmanager
def pooling(directory: Path, servers: int) -> Iterator[int]:
    """Run pgbouncer with `servers` connections to PostgreSQL; yields its port.

    Raises:
        AssertionError: it is not installed (deploy/setup-system.sh installs it), or does not start.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program is not None, "pgbouncer is missing: run deploy/setup-system.sh"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    known = connection.settings_dict
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={known['HOST']} user={known['USER']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {servers}\nmax_client_conn = 100\n"
    )
    # pgbouncer refuses to run as root, and only the server's owner may be allowed to use its socket.
    owner = pwd.getpwuid(Path(known["HOST"], ".s.PGSQL.5432").stat().st_uid).pw_name
    as_owner = ["-u", owner] if os.geteuid() == 0 else []
    with (directory / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen([program, *as_owner, str(configuration)], stdout=log, stderr=log)
    try:
        _wait_for(port, str(known["NAME"]), str(known["USER"]), directory / "pgbouncer.log")
        yield port
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


def _wait_for(port: int, database: str, user: str, log: Path) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        try:
            psycopg2.connect(host="127.0.0.1", port=port, dbname=database, user=user).close()
        except psycopg2.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"pgbouncer does not answer: {log.read_text()}")
