"""Velociraptor's gRPC API on loopback: the published stubs, mutual TLS, and answers in the shapes of the real server.

It knows the queries that the adapter asks, sends rows in parts between lines of its log as the real one does, and can
be told to misbehave. The rows have the keys that the plugins of Velociraptor 0.7x send.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf.unknown_fields import UnknownFieldSet
from pyvelociraptor import api_pb2, api_pb2_grpc

from bundles.sources.adapters.velociraptor import flows, rows, uploads
from bundles.sources.profiles import System
from tests.support.certificates import DAY, Issuer

SERVER_NAME = "VelociraptorServer"
CLIENT = "C.39a107c4c58c5efa"
FLOW = "F.CDU2T197U1SFU"
PADDING_FIELD = 8
MOST_FILL = 64 * 1024


@dataclass
class StoredFlow:
    """One flow; `rows` holds each row as JSON text, so that a test decides every character.

    Attributes:
        context: keys that differ from those of a flow that finished.
        rows: artifact with source → rows.
        log: rows of `flow_logs()`.
        uploads: rows of `uploads()`.
    """

    client_id: str = CLIENT
    flow_id: str = FLOW
    context: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[dict[str, Any]] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """As `flows()` sends it."""
        counts = {name: len(found) for name, found in self.rows.items()}
        return {
            "client_id": self.client_id,
            "session_id": self.flow_id,
            "request": {"artifacts": sorted({name.partition("/")[0] for name in self.rows}), "client_id": CLIENT},
            "create_time": 1669082757032004,
            "start_time": 1669082757032004,
            "active_time": 1669082762301156,
            "total_uploaded_files": sum(one.get("Type") != "idx" for one in self.uploads),
            "total_uploaded_bytes": sum(one["uploaded_size"] for one in self.uploads if one.get("Type") != "idx"),
            "total_collected_rows": sum(counts.values()),
            "execution_duration": 5269152300,
            "state": "FINISHED",
            "status": "",
            "artifacts_with_results": list(counts),
            "query_stats": [
                {"status": "OK", "names_with_response": [name], "result_rows": count} for name, count in counts.items()
            ],
            **self.context,
        }


class Velociraptor(api_pb2_grpc.APIServicer):  # type: ignore[misc]  # the stubs have no types
    """The server; use it as a context manager.

    Args:
        folder: for the API client's file.

    Attributes:
        flows, hunts, hunt_flows, hosts, files: what it has; `files` maps components to bytes or to a size whose bytes
            are `filler`.
        asked: (offset, length) of each piece of a file asked for.
        before_row: called with each row's number before it is sent in a part of its own; may raise or wait.
        before_piece: called with (offset, context) before a piece is sent.
    """

    unavailable = grpc.StatusCode.UNAVAILABLE

    def __init__(self, folder: Path) -> None:
        self.flows: dict[str, StoredFlow] = {}
        self.hunts: dict[str, dict[str, Any]] = {}
        self.hunt_flows: dict[str, list[str]] = {}
        self.hosts: dict[str, str] = {CLIENT: "WIN-E5K9RC5GU23"}
        self.files: dict[tuple[str, ...], bytes | int] = {}
        self.asked: list[tuple[int, int]] = []
        self.queries: list[str] = []
        self.log_lines: dict[str, str] = {}  # plugin → what its log says instead of rows
        self.stated_more = 0  # rows that the log states beyond those that are sent
        self.part_rows = 500
        self.answer = ""  # instead of rows
        self.surplus = b""  # sent behind each piece
        self.pads = False  # as a server does that does not know the field `padding`
        self.before_part: Callable[[int, grpc.ServicerContext], None] = lambda _number, _context: None
        self.before_piece: Callable[[int, grpc.ServicerContext], None] = lambda _offset, _context: None
        self.before_query: Callable[[grpc.ServicerContext], None] = lambda _context: None
        self.release = threading.Event()  # set when the server stops: what waits for ever ends then
        self.authority = Issuer("Velociraptor CA")
        self.client_file = folder / "api_client.yaml"
        self._port = 0
        self._server: grpc.Server | None = None

    # --- running it

    def __enter__(self) -> Self:
        self.start()
        self.write_client()
        return self

    def start(
        self,
        *,
        name: str = SERVER_NAME,
        days: int = 30,
        authority: Issuer | None = None,
        trusted: Issuer | None = None,
    ) -> None:
        """Listen on a free port, or again on the one that it had.

        Args:
            name: in its certificate.
            days: until its certificate ends; negative for one that has expired.
            authority: that issues its certificate.
            trusted: whose clients it accepts.
        """
        certificate, key = (authority or self.authority).issue(name, ends=days * DAY, host=name)
        roots = (trusted or self.authority).pem
        credentials = grpc.ssl_server_credentials([(key, certificate)], roots, require_client_auth=True)
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8))
        api_pb2_grpc.add_APIServicer_to_server(self, self._server)
        self._port = self._server.add_secure_port(f"127.0.0.1:{self._port}", credentials)
        self._server.start()

    def stop(self) -> None:
        """Cut all calls and close the port."""
        self.release.set()
        if self._server is not None:
            self._server.stop(grace=0).wait()
            self._server = None

    def __exit__(self, *of: object) -> None:
        self.stop()

    @property
    def place(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self._port}"

    def write_client(self, *, authority: Issuer | None = None, days: int = 30, **changed: str | None) -> Path:
        """Write the API client's file, with texts changed, or left out if None."""
        certificate, key = (authority or self.authority).issue("orchestrator", ends=days * DAY, host="orchestrator")
        texts: dict[str, str | None] = {
            "ca_certificate": self.authority.pem.decode(),
            "client_cert": certificate.decode(),
            "client_private_key": key.decode(),
            "api_connection_string": self.place,
            "name": "orchestrator",
            **changed,
        }
        lines = []
        for label, text in texts.items():
            if text is not None:
                lines += [f"{label}: |-", *(f"  {line}" for line in text.splitlines())]
        self.client_file.write_text("\n".join(lines) + "\n")
        self.client_file.chmod(0o600)
        return self.client_file

    def system(self, *, timeout_s: float = 5, url: str = "", **options: Any) -> System:
        """A system for this server."""
        given = {"api_client_file": str(self.client_file), **options}
        return System(name="velociraptor", adapter="velociraptor", url=url, timeout_s=timeout_s, options=given)

    # --- what it has

    def add(self, flow: StoredFlow) -> StoredFlow:
        """Have a flow."""
        self.flows[f"{flow.client_id}/{flow.flow_id}"] = flow
        return flow

    def upload(
        self, flow: StoredFlow, path: str, content: bytes | int, *, full: int | None = None, index: bytes = b""
    ) -> tuple[str, ...]:
        """Have an upload, with its index if it is sparse; returns its place in the file store."""
        place = ("clients", flow.client_id, "collections", flow.flow_id, "uploads", "auto", *_split(path))
        stored = content if isinstance(content, int) else len(content)
        self.files[place] = content
        sizes = {"file_size": stored if full is None else full, "uploaded_size": stored}
        flow.uploads.append(_upload_row(place, path, "", sizes))
        if index:
            self.files[(*place[:-1], place[-1] + ".idx")] = index
            flow.uploads.append(_upload_row(place, path + ".idx", "idx", sizes))
        return place

    # --- the API

    def Query(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802 -- the API's name
        """Rows of a query, in parts."""
        self.before_query(context)
        vql, env = request.Query[0].VQL, {one.key: one.value for one in request.env}
        self.queries.append(vql)
        yield _log("Starting query execution.")
        plugin = vql.partition(" FROM ")[2].partition("(")[0]
        if plugin in self.log_lines:
            yield _log(self.log_lines[plugin])
            return
        found = self._rows(vql, env)
        if isinstance(found, str):
            yield _log(found)
            found = []
        size = min(request.max_row, self.part_rows)
        for number, start in enumerate(range(0, max(1, len(found)), size)):
            part = found[start : start + size]
            self.before_part(number, context)
            stated = len(part) + (self.stated_more if start + size >= len(found) else 0)
            yield _log(f"Time 0: {request.Query[0].Name}: Sending response part {number} 1 kB ({stated} rows).")
            yield api_pb2.VQLResponse(
                Response=self.answer or "[\n " + ",\n ".join(part) + "\n]",
                Query=request.Query[0],
                part=number,
                timestamp=1669082757000000,
            )
        yield _log('DEBUG:Query Stats: {"RowsScanned":1}')

    def VFSGetBuffer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 -- the API's name
        """A piece of a stored file."""
        self.asked.append((request.offset, request.length))
        self.before_piece(request.offset, context)
        place = tuple(request.components)
        if place not in self.files:
            context.abort(grpc.StatusCode.NOT_FOUND, "Not Found")
        padding = next((one.data for one in UnknownFieldSet(request) if one.field_number == PADDING_FIELD), 1)
        content: bytes | int = self.files[place]
        index = self.files.get((*place[:-1], place[-1] + ".idx"))
        if isinstance(index, bytes) and isinstance(content, bytes) and (padding or self.pads):
            content = _padded(content, index)
        if isinstance(content, int):
            length = max(0, min(request.length, content - request.offset))
            return api_pb2.VFSFileBuffer(data=filler(request.offset, length))
        return api_pb2.VFSFileBuffer(data=content[request.offset : request.offset + request.length] + self.surplus)

    def _rows(self, vql: str, env: dict[str, str]) -> list[str] | str:
        """The rows of a query as JSON texts, or what its log says."""
        flow = self.flows.get(f"{env.get('ClientId')}/{env.get('FlowId')}")
        client, hunt = env.get("ClientId", ""), env.get("HuntId", "")
        most = int(vql.rpartition(" LIMIT ")[2] or 0) if " LIMIT " in vql else 0
        host = self.hosts.get(client, "")
        known: dict[str, Callable[[], list[Any]]] = {
            flows.FLOW: lambda: [flow.row()] if flow else [],
            flows.CLIENT: lambda: [{"client_id": client, "Hostname": host, "Fqdn": f"{host}.example.org"}],
            flows.HUNT: lambda: [self.hunts[hunt]] if hunt in self.hunts else [],
            flows.HUNT_FLOWS.format(most=most): lambda: self._of_hunt(hunt)[:most],
            flows.HUNTS.format(most=most): lambda: self._newest()[:most],
            rows.RESULTS: lambda: flow.rows[env["ArtifactName"]] if flow else [],
            uploads.UPLOADS: lambda: flow.uploads if flow else [],
            uploads.LOGS: lambda: flow.log if flow else [],
        }
        if vql not in known:
            return f"VQL Error: 1:1: unexpected token in {vql}."
        if vql == flows.FLOW and not host and client != "server":
            return f"flows: unable to get client {client}: file does not exist"
        return [row if isinstance(row, str) else json.dumps(row) for row in known[vql]()]

    def _of_hunt(self, hunt: str) -> list[dict[str, Any]]:
        found = [self.flows[name] for name in self.hunt_flows[hunt]]
        return [
            {"HuntId": hunt, "ClientId": flow.client_id, "FlowId": flow.flow_id, "Flow": flow.row()} for flow in found
        ]

    def _newest(self) -> list[dict[str, Any]]:
        return sorted(self.hunts.values(), key=lambda one: -one["create_time"])


def filler(offset: int, length: int) -> bytes:
    """The bytes at an offset of a file of which only the size is kept: each block of 64 KiB has others."""
    out = bytearray()
    while length:
        block, inside = divmod(offset, MOST_FILL)
        piece = (hashlib.sha256(str(block).encode()).digest() * (MOST_FILL // 32))[inside : inside + length]
        out += piece
        offset, length = offset + len(piece), length - len(piece)
    return bytes(out)


def _log(text: str) -> Any:
    return api_pb2.VQLResponse(log=text, timestamp=1669082757000000)


def _split(path: str) -> list[str]:
    return [step for step in path.replace("\\", "/").split("/") if step]


def _upload_row(place: tuple[str, ...], path: str, kind: str, sizes: dict[str, int]) -> dict[str, Any]:
    stored = {"Size": sizes["file_size"], "StoredSize": sizes["uploaded_size"]}
    return {
        "Timestamp": 1669082762,
        "started": "2022-11-22 02:06:02.3631543 +0000 UTC",
        "vfs_path": "fs:/" + "/".join(place),
        "Type": kind,
        "_Components": list(place),
        **sizes,
        "_accessor": "auto",
        "_client_components": _split(path),
        "client_path": path,
        "Upload": {"Path": path, **stored, "Components": list(place), "Accessor": "auto", "UploadId": 0},
    }


def _padded(content: bytes, index: bytes) -> bytes:
    """A sparse file with its gaps filled."""
    whole = b""
    for one in json.loads(index)["ranges"]:
        begin, stored = one.get("file_offset", 0), one.get("file_length", 0)
        whole += content[begin : begin + stored] + bytes(one["length"] - stored)
    return whole
