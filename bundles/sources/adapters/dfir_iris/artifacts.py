"""Reads the files of a case's datastore and the records of its evidence register.

A file's record is as IRIS sent it in the tree of the datastore, with the keys of `artifacts.json`. When a file is
uploaded that is marked as an IOC, or has a password, IRIS packs it into a ZIP with that password, and keeps size and
SHA-256 of the original. Such a file is taken as it is delivered: the record has the original's digest in `file_sha256`,
and the digest of what was delivered is computed on receipt. The marks can change later, so they do not prove that a
file is packed; nothing is compared for a file that has them.

IRIS leaves the folders in a folder out of the tree if that was moved into a younger one. Where there is a flat list of
the files (v2), the files of such folders come from there.

An evidence record describes an item, often one that was never uploaded. If a file of the datastore has its SHA-256, the
record says which; else it says that IRIS has no bytes, and the option `evidence_without_bytes` decides what that means.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bundles.format.model import paths
from bundles.sources import faults
from bundles.sources.adapters.dfir_iris.pages import EVIDENCES, FILES, Reader
from bundles.sources.adapters.dfir_iris.wire import ASK_OLDER, Case, Iris, unusable
from bundles.sources.adapters.protocol import ArtifactRecord, Offer, Wanted
from bundles.sources.faults import StatusRefusedError
from bundles.sources.jsonstream import JsonStream, MalformedError
from bundles.sources.members import RecordsMember, named
from bundles.sources.trace import Part, Trace

TREE_V2, TREE_OLDER = "/api/v2/cases/{case}/datastore/tree", "/datastore/list/tree"
CONTENT_V2, CONTENT_OLDER = "/api/v2/cases/{case}/datastore/files/{file}", "/datastore/file/view/{file}"
MISSING, RECORD = "missing", "record"  # values of the option
DEEPEST_FOLDER = 200
NAMED = 10  # evidence records in one error
NO_BYTES = "none in IRIS"
NO_BYTES_OF = "evidence that has no bytes in IRIS"

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")

Found = Callable[[Any, str], None]  # a file's record, and the path of its folder


class UnusableError(Exception):
    """A file's record cannot be used; the message says why."""


class _Files:
    """The files so far."""

    def __init__(self, iris: Iris, case: Case, *, is_v2: bool) -> None:
        self._limits = iris.limits
        self._case = case
        self._is_v2 = is_v2
        self.by_id: dict[str, ArtifactRecord] = {}
        self.sha256s: dict[str, str] = {}  # of the original → the file's artifact id

    def read(self, record: Any, folder: str) -> tuple[dict[str, Any], ArtifactRecord]:
        """The record with the keys of `artifacts.json`, and the used fields.

        Raises:
            UnusableError: it cannot be used.
        """
        if not isinstance(record, dict):
            raise UnusableError("it is not an object")
        number, name = record.get("file_id"), record.get("file_original_name")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 10**18:
            raise UnusableError("it has no usable file_id")
        if record.get("file_case_id", self._case.number) != self._case.number:
            raise UnusableError("it belongs to another case")
        if not isinstance(name, str) or not name:
            raise UnusableError("it has no file_original_name")
        size, sha256 = self._size(record), self._sha256(record)
        packed = bool(record.get("file_is_ioc") or record.get("file_password"))
        artifact = ArtifactRecord(
            artifact_id=f"datastore-{number}",
            name=f"{name}.zip" if packed else name,
            size=None if packed else size,
            sha256=None if packed else sha256,
            handle=self._handle(number),
        )
        if artifact.artifact_id in self.by_id:
            raise UnusableError("another record has its file_id")
        if len(self.by_id) >= self._limits.artifacts:
            raise UnusableError(f"there are more than {self._limits.artifacts} files")
        self.by_id[artifact.artifact_id] = artifact
        if sha256 is not None:
            self.sha256s.setdefault(sha256, artifact.artifact_id)
        keys: dict[str, Any] = {"artifact_id": artifact.artifact_id, "name": artifact.name}
        if artifact.size is not None:
            keys["size"] = artifact.size
        if artifact.sha256 is not None:
            keys["sha256"] = artifact.sha256
        if isinstance(record.get("file_date_added"), str):
            keys["collected_at"] = record["file_date_added"]
        if folder:
            keys["folder"] = folder
        return {**record, **keys}, artifact

    def _size(self, record: dict[str, Any]) -> int | None:
        """IRIS has no size of a file that was pasted into a note."""
        size = record.get("file_size")
        if size is None:
            return None
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= self._limits.artifact_bytes:
            raise UnusableError("its file_size is not a usable number of bytes")
        return size

    def _sha256(self, record: dict[str, Any]) -> str | None:
        sha256 = record.get("file_sha256")
        if sha256 is None or sha256 == "":
            return None
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise UnusableError("its file_sha256 is not a SHA-256")
        return sha256.lower()

    def _handle(self, number: int) -> dict[str, Any]:
        if self._is_v2:
            return {"path": CONTENT_V2.format(case=self._case.number, file=number), "params": {}}
        return {"path": CONTENT_OLDER.format(file=number), "params": {"cid": self._case.number}}


class _Listed:
    """The records of one reading of a list, in memory; see `pages.Sink`."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.records: list[Any] = []

    def take(self, record: Any) -> None:
        self.records.append(record)


def fetch(iris: Iris, wanted: Wanted, without_bytes: str) -> tuple[Part, list[ArtifactRecord]]:
    """Read the records and write `artifacts.json`.

    Args:
        iris: asked.
        wanted: the case.
        without_bytes: what an evidence record without a file means, `MISSING` or `RECORD`.

    Raises:
        jobs.errors.RetryableError: another attempt can help.
        jobs.errors.PermanentError: the case is unknown or may not be read, an answer cannot be used, or evidence has no
            bytes and a partial bundle is not allowed.
    """
    case = iris.case(wanted.ref, iris.scratch())
    is_v2 = _has_tree_v2(iris, case)
    path = TREE_V2.format(case=case.number) if is_v2 else f"{TREE_OLDER}?cid={case.number}"
    with RecordsMember(iris.source, iris.client.url(path), wanted) as member:
        files = _Files(iris, case, is_v2=is_v2)

        def found(record: Any, folder: str) -> None:
            number = record.get("file_id") if isinstance(record, dict) else None
            try:
                kept, _ = files.read(record, folder)
            except UnusableError as error:
                member.leave_out(f"{named(member.position + 1, number)}: {error}")
            else:
                member.add(kept, number)

        _read_files(iris, case, member.trace, found, files, is_v2=is_v2)
        bare = _add_evidence(iris, case, member, files)
        _say_bare(iris, member, bare, without_bytes, allow_partial=wanted.allow_partial)
        return member.part(), list(files.by_id.values())


def offer(iris: Iris, ref: str, without_bytes: str) -> Offer:
    """Read the records, which are short beside the contents; see `protocol.Adapter`."""
    trace = iris.scratch()
    case = iris.case(ref, trace)
    is_v2 = _has_tree_v2(iris, case)
    files, unusable = _Files(iris, case, is_v2=is_v2), 0

    def found(record: Any, folder: str) -> None:
        nonlocal unusable
        try:
            files.read(record, folder)
        except UnusableError:
            unusable += 1

    _read_files(iris, case, trace, found, files, is_v2=is_v2)
    register = Reader(iris, EVIDENCES, case).agreed(lambda: _Listed(trace)).kept.records
    bare = sum(_file_of(one, files) is None for one in register)
    said = [f"{len(files.by_id)} files and {len(register)} evidence records"]
    if bare:
        so = ", which makes the bundle incomplete" if without_bytes == MISSING else ""
        said.append(f"{bare} of the evidence records without bytes in IRIS{so}")
    if unusable:
        said.append(f"{unusable} records of files cannot be used")
    sizes = [one.size for one in files.by_id.values()]
    unsized = sum(size is None for size in sizes)
    if unsized:
        said.append(f"the size of {unsized} files is known once they are read")
    return Offer(
        records=len(files.by_id) + len(register),
        size_bytes=sum(size or 0 for size in sizes),
        detail="; ".join(said) + ".",
    )


def _has_tree_v2(iris: Iris, case: Case) -> bool:
    """Whether this IRIS has the datastore in v2; its flat list is asked for one record."""
    try:
        path = FILES.v2.format(case=case.number)
        iris.records(path, iris.scratch(), "data", lambda _: None, max_bytes=iris.limits.page_bytes, per_page=1)
    except StatusRefusedError as refused:
        if refused.http_code in ASK_OLDER:
            return False
        raise
    return True


def _read_files(iris: Iris, case: Case, trace: Trace, found: Found, files: _Files, *, is_v2: bool) -> None:
    """Find every file: those of the tree, then those that only v2's flat list has."""
    path, params = (TREE_V2.format(case=case.number), {}) if is_v2 else (TREE_OLDER, {"cid": case.number})
    most = iris.limits.artifact_list_bytes
    with iris.document(path, trace, max_bytes=most, params=params) as document:
        outcome: object = "success"
        if is_v2:
            _folder(document, iris.limits.record_bytes, found, [])
        else:
            for key in document.members():
                if key == "data" and document.peek() == "{":
                    _folder(document, iris.limits.record_bytes, found, [])
                else:
                    value = document.value(iris.limits.record_bytes)
                    outcome = value if key == "status" else outcome
        document.end()
    if outcome != "success":
        raise faults.rejected(iris.source, "it answered that the request failed.")
    if is_v2:
        for record in Reader(iris, FILES, case).agreed(lambda: _Listed(trace)).kept.records:
            number = record.get("file_id") if isinstance(record, dict) else None
            if f"datastore-{number}" not in files.by_id:
                found(record, "")


def _folder(document: JsonStream, most: int, found: Found, folders: list[str]) -> None:
    """Read the nodes of one folder: `d-7` is a folder, `f-7` a file."""
    if len(folders) > DEEPEST_FOLDER:
        raise MalformedError(f"its folders are nested more than {DEEPEST_FOLDER} deep")
    for node in document.members():
        if not node.startswith("d-") or document.peek() != "{":
            found(document.value(most), "/".join(folders))
            continue
        name = node
        for key in document.members():
            if key == "children" and document.peek() == "{":
                _folder(document, most, found, [*folders, name])
            else:
                value = document.value(most)
                name = value if key == "name" and isinstance(value, str) else name


def _add_evidence(iris: Iris, case: Case, member: RecordsMember, files: _Files) -> list[str]:
    """Add the evidence register; returns which of its items have no bytes."""
    agreed = Reader(iris, EVIDENCES, case).agreed(lambda: _Listed(member.trace))
    if agreed.later:
        member.note(f"{agreed.later} evidence records came while the list was read; they are not in this bundle.")
    bare: list[str] = []
    for record in agreed.kept.records:
        if not isinstance(record, dict):
            member.leave_out(f"evidence register, {unusable(record, member.position + 1)}")
            continue
        holder = _file_of(record, files)
        added: dict[str, Any] = {"bytes": holder or NO_BYTES, "record_type": "evidence"}
        if isinstance(record.get("filename"), str):
            added["name"] = record["filename"]
        if isinstance(record.get("date_added"), str):
            added["collected_at"] = record["date_added"]
        if member.add({**added, **record}, record.get("id")) and holder is None:
            bare.append(_title(record))
    return bare


def _say_bare(iris: Iris, member: RecordsMember, bare: list[str], without_bytes: str, *, allow_partial: bool) -> None:
    """Say which evidence has no bytes, as the option wants it."""
    if not bare:
        return
    if without_bytes == RECORD:
        member.note(f"{NO_BYTES_OF} ({len(bare)}): {_few(bare)}.")
    elif allow_partial:
        for one in bare:
            member.gap(f"{one} has no bytes in IRIS; only its record is here.")
    else:
        what = f"{NO_BYTES_OF} ({len(bare)}): {_few(bare)}. Allow a partial bundle, which names"
        what += " them as missing, or let options.evidence_without_bytes be 'record'."
        raise faults.invalid(iris.source, what)


def _file_of(record: Any, files: _Files) -> str | None:
    """The artifact id of the datastore file that is the evidence, by its SHA-256."""
    digest = record.get("file_hash") if isinstance(record, dict) else None
    return files.sha256s.get(digest.strip().lower()) if isinstance(digest, str) else None


def _title(record: dict[str, Any]) -> str:
    """An evidence record for a message: its id and its name, escaped and shortened."""
    name = record.get("filename")
    shown = paths.escaped(name[:120]) if isinstance(name, str) else "without a name"
    number = record.get("id")
    return f"evidence {number if isinstance(number, int) else '?'} ({shown})"


def _few(titles: list[str]) -> str:
    more = len(titles) - NAMED
    return ", ".join(titles[:NAMED]) + (f", and {more} more" if more > 0 else "")
