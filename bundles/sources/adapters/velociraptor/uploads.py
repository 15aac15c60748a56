"""The artifacts of flows: the files that they uploaded, and what is kept as files beside them.

Beside the uploads there are, for each flow: its own record, its log, and the rows of result artifacts that no rule
takes into the timeline or the alerts. Those files are written to the staging folder while the records are read, so that
their sizes and digests are known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from bundles.format.model.canonical import canonical_json, canonical_record
from bundles.format.model.errors import RecordError
from bundles.sources.adapters.protocol import ArtifactRecord, Wanted
from bundles.sources.adapters.velociraptor import flows, rows
from bundles.sources.adapters.velociraptor.connection import Connection
from bundles.sources.adapters.velociraptor.flows import Flow, count_of
from bundles.sources.adapters.velociraptor.options import ALL, Options
from bundles.sources.adapters.velociraptor.statements import Statements
from bundles.sources.client import Dropped
from bundles.sources.faults import invalid, rejected, unavailable
from bundles.sources.jsonfault import shown
from bundles.sources.limits import MIB
from bundles.sources.members import RecordsMember, named
from bundles.sources.trace import Part

UPLOADS = "SELECT * FROM uploads(client_id=ClientId, flow_id=FlowId)"
LOGS = "SELECT * FROM flow_logs(client_id=ClientId, flow_id=FlowId)"
FOLDER = "velociraptor"
INDEX = ".idx"
PIECE_BYTES = MIB
ID_DIGITS = 32
# Of one flow; its rows are held until it is known which files have an index.
MOST_UPLOADS = 199_000


def fetch(connection: Connection, options: Options, wanted: Wanted) -> tuple[Part, list[ArtifactRecord]]:
    """Read the records of all artifacts and write `artifacts.json`.

    Raises:
        jobs.errors.RetryableError, jobs.errors.PermanentError: see `Connection.rows` and `flows.find`.
    """
    with RecordsMember(connection.source, connection.url, wanted) as member:
        found = flows.find(connection, wanted.ref, options.most_flows, member.trace.read)
        statements = Statements(member)
        rows.state(statements, found.notes)
        reader = _Reader(connection, options, wanted, member, statements)
        for flow in found.flows:
            reader.read(flow)
        for artifact in sorted(reader.mapped):
            what = "as the options map them to the timeline or the alerts"
            statements.note(f"rows of {shown(artifact)} are not in here as files, {what}.")
        statements.finish()
        return member.part(), reader.records


class _Reader:
    """Reads flow after flow."""

    def __init__(
        self,
        connection: Connection,
        options: Options,
        wanted: Wanted,
        member: RecordsMember,
        statements: Statements,
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._options = options
        self._member = member
        self._folder = wanted.staging / FOLDER
        self._folder.mkdir(exist_ok=True)
        self._ids: set[str] = set()
        self.records: list[ArtifactRecord] = []
        self.mapped: set[str] = set()

    def read(self, flow: Flow) -> None:
        """Add everything that one flow has."""
        self._file(flow, "flow", "flow.json", [flow.context])
        logs = self._rows(flow, LOGS)
        self._file(flow, "log", "logs.json", logs)
        for artifact in flow.artifacts:
            if self._options.results != ALL and self._options.is_mapped(artifact):
                self.mapped.add(artifact)
                continue
            name = f"results/{artifact.replace('%', '%25').replace('/', '%2F')}.json"
            served = rows.read(self._connection, flow, artifact, self._member.trace.read)
            received = self._file(flow, "results", name, served, artifact=artifact)
            rows.compare(self._statements, flow, artifact, received)
        self._uploads(flow)

    def _rows(self, flow: Flow, query: str) -> Iterator[Any]:
        env = {"ClientId": flow.client_id, "FlowId": flow.flow_id}
        return self._connection.rows(query, env, unknown=flow.name, heard=self._member.trace.read)

    def _file(self, flow: Flow, kind: str, name: str, served: Iterable[Any], **more: str) -> int:
        """Write rows as JSON lines into a file of the staging folder, and add its record; returns their number."""
        artifact_id = self._new_id(flow, kind, name)
        path = self._folder / artifact_id
        count = size = 0
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for row in served:
                count += 1
                line = self._line(row, f"{flow.name}/{name}", count)
                file.write(line)
                digest.update(line)
                size += len(line)
        if count or kind != "log":
            about = {"flow_id": flow.flow_id, "kind": kind, "name": name, "rows": count, **more}
            record = {**about, "artifact_id": artifact_id, "client_id": flow.client_id, "host": flow.host}
            record |= {"sha256": digest.hexdigest(), "size": size}
            if flow.context.get("create_time") is not None:
                record["collected_at"] = flow.context["create_time"]
            self._add(record, sha256=digest.hexdigest(), size=size, handle={"file": path})
        return count

    def _line(self, row: Any, where: str, number: int) -> bytes:
        """A row as a line; empty if it cannot be kept, which is then stated."""
        try:
            if isinstance(row, dict):
                return canonical_record(row) + b"\n"
            reason = rows.refusal(row)
        except RecordError as error:
            reason = str(error)
        self._statements.gap(f"{shown(where)}: {named(number)}: {reason}.")
        return b""

    def _uploads(self, flow: Flow) -> None:
        served: list[dict[str, Any]] = []
        for number, row in enumerate(self._rows(flow, UPLOADS), start=1):
            if not isinstance(row, dict) or not _components(row):
                reason = "it has no place in the file store" if isinstance(row, dict) else rows.refusal(row)
                self._member.leave_out(f"upload {number} of {flow.name}: {reason}")
            elif len(served) >= MOST_UPLOADS:
                raise invalid(self._connection.source, f"{flow.name} has more than {MOST_UPLOADS} uploads.")
            else:
                served.append(row)
        indexed = {_components(row) for row in served if _is_index(row)}
        files = 0
        for row in served:
            files += not _is_index(row)
            self._upload(flow, row, sparse=_components(row) in indexed)
        stated = count_of(flow.context.get("total_uploaded_files"))
        if stated is not None and files != stated:
            what = f"the flow {flow.name} lists {files} uploads, and states {stated}."
            if files < stated and flow.state == flows.FINISHED:
                self._statements.gap(what)
            else:
                self._statements.note(what)

    def _upload(self, flow: Flow, row: dict[str, Any], *, sparse: bool) -> None:
        is_index, path, places = _is_index(row), _original_path(row), list(_components(row))
        if is_index:
            path += "" if path.endswith(INDEX) else INDEX
            places[-1] += INDEX
        kind = "index" if is_index else "upload"
        record: dict[str, Any] = {
            "artifact_id": self._new_id(flow, kind, "\0".join(places)),
            "client_id": flow.client_id,
            "flow_id": flow.flow_id,
            "host": flow.host,
            "kind": kind,
            "name": path,
        }
        if row.get("Timestamp") is not None:
            record["collected_at"] = row["Timestamp"]
        sparse = sparse and not is_index
        if sparse:
            record["sparse"] = True
            record["index_artifact_id"] = self._id_of(flow, "index", "\0".join([*places[:-1], places[-1] + INDEX]))
        handle: dict[str, Any] = {"components": places, "tag": _tag(row, places)}
        # The row of an index may repeat the sizes of the file that it belongs to.
        size = None if is_index else count_of(row.get("uploaded_size"))
        if size is not None:
            full = count_of(row.get("file_size"))
            which = f"the upload {shown(path)} of {flow.name}"
            if full is not None and size < full and not sparse:
                self._statements.note(f"of {which}, {size} of {full} bytes were uploaded, and it has no index.")
            more = self._compared(which, places, size)
            if more:
                size = None
                handle["padded"] = sparse and more > 0
        if size is not None:
            record["size"] = size
        self._add(rows.with_keys(row, record), sha256=None, size=size, handle=handle)

    def _compared(self, which: str, places: list[str], stated: int) -> int:
        """Ask for the last of the stated bytes: 0 if they are stored, -1 if there are fewer, 1 if there are more."""
        at = max(0, stated - 1)
        try:
            end = at + len(self._connection.buffer(places, at, 2))
        except FileNotFoundError:
            return 0  # said when its content is asked for
        except Dropped as drop:
            raise unavailable(self._connection.source, str(drop)) from None
        if end < stated:
            self._statements.gap(
                f"of {which}, fewer than the stated {stated} bytes are stored; those that are, are kept."
            )
            return -1
        if end > stated:
            self._statements.note(f"of {which}, more than the stated {stated} bytes are stored.")
            return 1
        return 0

    def _id_of(self, flow: Flow, kind: str, place: str) -> str:
        text = f"{flow.client_id}\0{flow.flow_id}\0{kind}\0{place}"
        return f"{kind}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:ID_DIGITS]}"

    def _new_id(self, flow: Flow, kind: str, place: str) -> str:
        """An id that is the same in each attempt; the second record of one place gets `-2`."""
        first = artifact_id = self._id_of(flow, kind, place)
        number = 1
        while artifact_id in self._ids:
            number += 1
            artifact_id = f"{first}-{number}"
        self._ids.add(artifact_id)
        return artifact_id

    def _add(self, record: dict[str, Any], *, sha256: str | None, size: int | None, handle: dict[str, Any]) -> None:
        artifact_id, name = record["artifact_id"], record["name"]
        limits = self._connection.limits
        if len(self.records) >= limits.artifacts:
            raise invalid(self._connection.source, f"the incident has more than {limits.artifacts} artifacts.")
        if self._member.add(record, artifact_id):
            self.records.append(
                ArtifactRecord(artifact_id=artifact_id, name=name, size=size, sha256=sha256, handle=handle)
            )


class FileContent:
    """A file of the staging folder; see `protocol.Content`.

    Its handle is a `Path`, which is not JSON: nobody can keep it for another attempt, for which the file is made anew.
    """

    tag = ""

    def __init__(self, path: Path, at: int) -> None:
        self.at = at
        self._file: BinaryIO = path.open("rb")
        self._file.seek(at)

    def read(self, most: int) -> bytes:
        """See `protocol.Content`."""
        return self._file.read(most)

    def close(self) -> None:
        """See `protocol.Content`."""
        self._file.close()


class UploadContent:
    """A stored upload from any offset, one piece ahead of the reader; see `protocol.Content`.

    Velociraptor writes the record of an upload once all of it is stored, and nothing to it later. So the record's
    digest is the tag; a continued transfer also looks whether the stored size is still the one in the record.
    """

    def __init__(self, connection: Connection, record: ArtifactRecord, at: int) -> None:
        self.at = at
        self.tag: str = record.handle["tag"]
        self._connection = connection
        self._record = record
        self._next = at  # of the piece that is asked for
        self._asked: Any = None
        self._held = memoryview(b"")
        if record.handle.get("padded"):
            what = f"it fills the gaps of the sparse artifact {record.artifact_id}; its version is too old for that."
            raise rejected(connection.source, what)
        if at and record.size is not None:
            self._look_again(record.size)

    def _look_again(self, size: int) -> None:
        last = max(0, size - 1)
        try:
            end = last + len(self._connection.buffer(self._record.handle["components"], last, 2, wait=True))
        except FileNotFoundError:
            end = 0
        if end != size:
            what = f"artifact {self._record.artifact_id} changed while it was read."
            raise unavailable(self._connection.source, what)

    def read(self, most: int) -> bytes:
        """See `protocol.Content`."""
        if not self._held:
            self._held = memoryview(self._piece())
        taken, self._held = self._held[:most], self._held[most:]
        return bytes(taken)

    def close(self) -> None:
        """See `protocol.Content`."""
        if self._asked is not None:
            self._asked.cancel()

    def _piece(self) -> bytes:
        asked = self._asked or self._ask()
        self._asked = None
        try:
            piece = self._connection.received(asked, PIECE_BYTES)
        except FileNotFoundError:
            what = f"its file store does not have the content of artifact {self._record.artifact_id}."
            raise rejected(self._connection.source, what) from None
        self._next += len(piece)
        if self._next > self._connection.limits.artifact_bytes:
            what = f"artifact {self._record.artifact_id} is larger than {self._connection.limits.artifact_bytes} bytes."
            raise invalid(self._connection.source, what)
        if len(piece) == PIECE_BYTES:  # a shorter one is most likely the last
            self._asked = self._ask()
        return piece

    def _ask(self) -> Any:
        places: Sequence[str] = self._record.handle["components"]
        return self._connection.buffer_later(places, self._next, PIECE_BYTES, wait=self._next > 0)


def _tag(row: dict[str, Any], places: list[str]) -> str:
    """Changes whenever an upload is stored anew at the same place."""
    stored = [row.get(name) for name in ("Timestamp", "started", "file_size", "uploaded_size")]
    return hashlib.sha256(canonical_json([places, stored])).hexdigest()


def _is_index(row: dict[str, Any]) -> bool:
    return row.get("Type") == "idx"


def _components(row: dict[str, Any]) -> tuple[str, ...]:
    """Where the file store has the upload; empty if the row does not say it."""
    upload = row.get("Upload")
    for places in (row.get("_Components"), upload.get("Components") if isinstance(upload, dict) else None):
        if isinstance(places, list) and places and all(isinstance(place, str) and place for place in places):
            return tuple(places)
    return ()


def _original_path(row: dict[str, Any]) -> str:
    """The path on the machine, as served."""
    upload = row.get("Upload")
    texts = (row.get("client_path"), upload.get("Path") if isinstance(upload, dict) else None, row.get("vfs_path"))
    return next((text for text in texts if isinstance(text, str) and text), _components(row)[-1])
