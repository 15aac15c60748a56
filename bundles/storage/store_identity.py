"""Checks that the directories of this host are the stores that the database knows.

All processes share OUTPUT_DIR and FORENSIC_STORAGE_PATH. Each of the two has an id in a file, `.store-id`, and the
database has the id of the right one. They differ if a disk is not mounted, a host has its own directory, or the
database was restored from a backup. Then no file there counts as missing, and nothing is written or removed.

The first process that needs a store without an id creates one: it writes a proposal (`.store-id.<id>`), inserts the
row, and renames the file. The row decides a race. If the process dies in between, the next one finds the proposal that
the database names and makes it the marker.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from bundles.errors import StoreMismatchError
from bundles.models import Store
from bundles.storage import store_marker
from custody import chain
from foundation.principal import Principal
from jobs.errors import RetryableError

BUNDLES, ARTIFACTS = "bundles", "artifacts"
VARIABLES = {BUNDLES: "OUTPUT_DIR", ARTIFACTS: "FORENSIC_STORAGE_PATH"}
TITLES = {BUNDLES: "bundle store", ARTIFACTS: "artifact store"}
KNOWN_SQL = "SELECT kind, store_id, host FROM orchestrator_stores"
KNOWN_AS_JSON = "(SELECT json_agg(json_build_array(kind, store_id, host)) FROM orchestrator_stores)"  # part of a query
INTRODUCE_SQL = """
INSERT INTO orchestrator_stores (kind, store_id, host, since) VALUES (%s, %s, %s, now())
ON CONFLICT (kind) DO NOTHING"""
HOLD_SQL = "SELECT kind, store_id, host FROM orchestrator_stores WHERE kind = ANY(%s) FOR SHARE"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class Known:
    """A store's row in the database: its id, and the host that first used or adopted it."""

    store_id: UUID
    host: str


def root(kind: str) -> Path:
    """The directory of a store in this host's settings."""
    return Path(settings.OUTPUT_DIR if kind == BUNDLES else settings.FORENSIC_STORAGE_PATH)


def known_of(rows: Iterable[tuple[Any, ...]]) -> dict[str, Known]:
    """The rows of `KNOWN_SQL` or `KNOWN_AS_JSON` by kind of store; for callers with their own query."""
    return {str(kind): Known(UUID(str(store_id)), str(host)) for kind, store_id, host in rows}


def known() -> dict[str, Known]:
    """The stores that the database knows, by kind."""
    with connection.cursor() as cursor:
        cursor.execute(KNOWN_SQL)
        return known_of(cursor.fetchall())


def difference(kind: str, known: Known | None) -> str:
    """How this host's directory differs from the store that the database knows; begins with the setting's name.

    Returns:
        The text; empty if it is that store, or if neither has an id yet.
    """
    try:
        folder = os.open(root(kind), _FOLDER)
    except OSError as error:
        return _cannot_be_opened(kind, known, error)
    try:
        return "" if known is None and not store_marker.read(folder) else _difference(kind, folder, known)
    finally:
        os.close(folder)


def mismatches(known: Mapping[str, Known]) -> dict[str, str]:
    """Kind → error message, for each store of this host that differs from the database's.

    Args:
        known: the stores in the database, by kind.
    """
    found = {kind: difference(kind, known.get(kind)) for kind in VARIABLES}
    return {kind: str(_mismatch(kind, words)) for kind, words in found.items() if words}


def what_to_do(kind: str) -> str:
    """How to resolve a difference."""
    return (
        f"Mount the right directory there or correct {VARIABLES[kind]}; only when this directory is meant to take the "
        f"other's place, run `manage.py adopt_store {kind}` here"
    )


@contextmanager
def opened(kind: str) -> Iterator[int]:
    """Open a store's directory and check that it is the database's store, so that a file missing in it is really lost.

    A store without an id in both places gets one.

    Args:
        kind: `BUNDLES` or `ARTIFACTS`.

    Raises:
        StoreMismatchError: this host's directory is not the store that the database knows.
    """
    row = known().get(kind)
    try:
        folder = os.open(root(kind), _FOLDER)
    except OSError as error:
        raise _mismatch(kind, _cannot_be_opened(kind, row, error)) from error
    try:
        if row is None:  # if there is an id now, another process may have just created it
            row = known().get(kind) if store_marker.read(folder) else _introduce(kind, folder)
        if words := _difference(kind, folder, row):
            raise _mismatch(kind, words)
        yield folder
    finally:
        os.close(folder)


def require(*kinds: str) -> None:
    """Check that each of these directories is the database's store now.

    Raises:
        StoreMismatchError: one is not.
    """
    for kind in kinds:
        with opened(kind):
            pass


def hindrance(*kinds: str) -> str:
    """Why this host cannot use these stores now; empty if it can."""
    try:
        require(*kinds)
    except StoreMismatchError as error:
        return str(error)
    return ""


def bundles_hindrance() -> str:
    """`hindrance` for jobs that need only the bundle store."""
    return hindrance(BUNDLES)


def any_hindrance() -> str:
    """`hindrance` for jobs that need both stores."""
    return hindrance(BUNDLES, ARTIFACTS)


def hold(*kinds: str) -> None:
    """Lock the rows of these stores until COMMIT and check the directories; call it before registering files.

    Raises:
        RetryableError: `store_mismatch`: a directory is no longer the database's store.
    """
    with connection.cursor() as cursor:
        cursor.execute(HOLD_SQL, [list(kinds)])
        rows = known_of(cursor.fetchall())
    for kind in kinds:
        words = difference(kind, rows.get(kind)) if kind in rows else f"{VARIABLES[kind]}: the database knows no store"
        if words:
            error = _mismatch(kind, words)
            raise RetryableError(error.code, str(error))


def adopt(principal: Principal, kind: str) -> UUID:
    """Make this host's directory the database's store, under a new id, and record it in custody.

    Another database that knew the directory refuses it from now on, because of the new id.

    Args:
        principal: the user at a shell of this host.
        kind: `BUNDLES` or `ARTIFACTS`.

    Raises:
        StoreMismatchError: the directory does not exist or is not writable.
    """
    adopted = uuid4()
    try:
        folder = os.open(root(kind), _FOLDER)
    except OSError as error:
        raise _mismatch(kind, _cannot_be_opened(kind, None, error)) from error
    try:
        details = {"kind": kind, "directory": str(root(kind)), "marker_before": store_marker.read(folder)}
        _propose(kind, folder, adopted)
        with transaction.atomic():
            row = Store.objects.select_for_update().filter(kind=kind).first()
            details["known_before"] = str(row.store_id) if row else ""
            Store.objects.update_or_create(kind=kind, defaults=_row(adopted))
            chain.record(principal, "store.adopt", "store", str(adopted), details=details)
        if words := _difference(kind, folder, known().get(kind)):
            raise _mismatch(kind, words)
    finally:
        os.close(folder)
    return adopted


def _introduce(kind: str, folder: int) -> Known:
    """Give a store an id, unless another process inserts the row first; returns the row."""
    proposed = uuid4()
    _propose(kind, folder, proposed)
    with connection.cursor() as cursor:  # one statement, so that a suspended process blocks no other
        cursor.execute(INTRODUCE_SQL, [kind, proposed, socket.gethostname()])
    row = known()[kind]
    if row.store_id != proposed:
        store_marker.withdraw(folder, proposed)
    return row


def _row(store_id: UUID) -> dict[str, Any]:
    return {"store_id": store_id, "host": socket.gethostname(), "since": Now()}


def _propose(kind: str, folder: int, store_id: UUID) -> None:
    try:
        store_marker.propose(folder, store_id)
    except OSError as error:
        raise _mismatch(kind, f"{VARIABLES[kind]}: no store id can be written there ({error.strerror})") from error


def _difference(kind: str, folder: int, known: Known | None) -> str:
    """Like `difference`, for an open directory."""
    name, title, found = VARIABLES[kind], TITLES[kind], store_marker.read(folder)
    if known is None:
        return f"{name}: {_found(found)}, of another database; this one knows no {title} yet"
    expected = str(known.store_id)
    try:
        if expected == found or store_marker.confirm(folder, known.store_id) or expected == store_marker.read(folder):
            return ""
    except OSError as error:
        return f"{name}: no store id can be written there ({error.strerror})"
    return f"{name}: {_found(found)}, not the {title} that the database knows ({_described(known)})"


def _found(text: str) -> str:
    if not text:
        return f"no store id ({store_marker.NAME}) is there; the disk may not be mounted"
    if text == store_marker.UNREADABLE:
        return f"its store id ({store_marker.NAME}) cannot be read"
    return f"this is store {text[:8]}"


def _cannot_be_opened(kind: str, known: Known | None, error: OSError) -> str:
    expected = f"; the database knows the {TITLES[kind]} {_described(known)}" if known else ""
    return f"{VARIABLES[kind]}: the directory cannot be opened ({error.strerror}){expected}"


def _described(known: Known) -> str:
    return f"{str(known.store_id)[:8]}, first used on {known.host}"


def _mismatch(kind: str, words: str) -> StoreMismatchError:
    return StoreMismatchError(f"Host {socket.gethostname()}, {words}. {what_to_do(kind)}.")
