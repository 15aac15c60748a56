"""A server that speaks the wire of DFIR-IRIS: TLS, bearer keys, both generations of routes, and the ways they fail.

Routes, parameters, envelopes, fields and faults are those of the public code of IRIS 2.4.20 (`OLDER`), 2.5.0-beta
(`BETA`: v2 for cases, assets, IOCs, tasks, evidence and alerts; `next_page` is true instead of a number) and 3.0.0-beta
(`NEWEST`: also notes and the datastore in v2). A test replaces an answer in `answers`, or changes the case.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.certificates import Authority

OLDER, BETA, NEWEST = "v2.4.20", "v2.5.0-beta.1", "v3.0.0-beta"
KEY = "B8BA5D730210B50F41C06941582D7965D57319D5685440587F98DFDC45A01594"
CASE = 42
MALWARE = b"MZ\x90\x00 not really a program" * 40
DISK = bytes(range(256)) * 700
PASTED = b"\x89PNG pasted into a note"
PASSWORD = "infected"

Answer = Callable[["Handler"], bool]

FOLDER = "/" + "home/iris/server_data"  # where IRIS keeps files, which no message may quote


class IrisServer:
    """One IRIS with one case.

    Args:
        folder: for the certificates.
        release: `OLDER`, `BETA` or `NEWEST`.

    Attributes:
        ca: PEM file of the authority that signed the server's certificate.
        asked: the paths with queries, in order.
        answers: path → a function that may answer instead, and then returns True.
        alerts: in the order of their time.
        most_per_page: the server's own bound; none if 0.
        on_alerts: called with the query of each request for alerts before it is answered.
        cut_after: bytes after which each answer with a file's content breaks off; no cut if 0.
    """

    def __init__(self, folder: Path, release: str = NEWEST) -> None:
        self.release = release
        authority = Authority(folder)
        self.ca = authority.certificate
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.readable = {CASE}
        self.case = case_record()
        self.events = events()
        self.assets = assets()
        self.iocs = iocs()
        self.tasks = tasks()
        self.notes = notes()
        self.evidences = evidences()
        self.files = files()
        self.contents = {7: DISK, 8: zipped(MALWARE, PASSWORD), 9: PASTED}
        self.alerts = [alert(number) for number in range(1, 6)]
        self.most_per_page = 0
        self.on_alerts: Callable[[dict[str, str]], None] = lambda _: None
        self.cut_after = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.iris = self  # type: ignore[attr-defined]
        context = authority.sign("server").server_context()
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *of: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def tree(self) -> dict[str, Any]:
        """The datastore as `/datastore/list/tree` has it; one folder was moved below a younger one and is lost."""
        shown = {f"f-{one['file_id']}": {**one, "type": "file"} for one in self.files}
        evidences = {key: one for key, one in shown.items() if one["file_parent_id"] == 2}
        infected = {key: one for key, one in shown.items() if one["file_parent_id"] == 3}
        return {
            "d-1": {
                "name": f"Case {CASE}",
                "type": "directory",
                "is_root": True,
                "children": {
                    "d-2": {"name": "Evidences", "type": "directory", "children": evidences},
                    "d-3": {"name": "IOCs", "type": "directory", "children": infected},
                },
            }
        }


class Handler(BaseHTTPRequestHandler):
    """Answers as IRIS does."""

    protocol_version = "HTTP/1.1"
    timeout = 10

    def log_message(self, *_: Any) -> None:
        """Silent."""

    @property
    def iris(self) -> IrisServer:
        """The server's state."""
        return self.server.iris  # type: ignore[attr-defined, no-any-return]

    def do_GET(self) -> None:
        """Answer."""
        parts = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.iris.asked.append(self.path)
        if parts.path in self.iris.answers and self.iris.answers[parts.path](self):
            return
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self.older(None, "Authentication required", 401)
        elif parts.path.startswith("/api/v2/"):
            self._v2(parts.path.split("/")[3:])
        else:
            self._older(parts.path)

    def says(self, body: bytes, status: int = 200, kind: str = "application/json", **more: str) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def v2(self, data: Any, status: int = 200) -> None:
        """An answer of v2: the data alone."""
        self.says(json.dumps(data).encode(), status)

    def older(self, data: Any, message: str = "", status: int = 200) -> None:
        """An answer of the older routes: an envelope."""
        said = {"status": "success" if status == 200 else "error", "message": message}
        self.says(json.dumps(said | {"data": [] if data is None else data}).encode(), status)

    def no_page(self) -> None:
        """The page for a route that is not there."""
        self.says(b"<!DOCTYPE html>\n<html><h1>404</h1></html>", 404, "text/html; charset=utf-8")

    def paged(self, records: list[Any], key: str, *, envelope: bool = False) -> None:
        """A page of a list."""
        page, size = int(self.query.get("page", 1)), int(self.query.get("per_page", 10))
        size = min(size, self.iris.most_per_page or size)
        pages = -(-len(records) // size)
        following: Any = page + 1 if page < pages else None
        if following and self.iris.release == BETA and not envelope:
            following = True
        answer = {
            "total": len(records), key: records[(page - 1) * size : page * size], "last_page": pages,
            "current_page": page, "next_page": following,
        }  # fmt: skip
        (self.older if envelope else self.v2)(answer)

    def _v2(self, names: list[str]) -> None:
        iris = self.iris
        if iris.release == OLDER:
            self.no_page()
        elif names[0] == "alerts":
            self._alerts(envelope=False)
        elif names == ["cases"]:
            self.paged([iris.case], "data")
        elif names[0] != "cases" or not names[1].isdigit():
            self.no_page()
        elif int(names[1]) != CASE:
            self.says(b"", 404)
        elif CASE not in iris.readable:
            self.older({"case_id": CASE}, "Permission denied", 403)
        elif len(names) == 2:
            self.v2(iris.case)
        else:
            self._v2_of_case(names[2:])

    def _v2_of_case(self, names: list[str]) -> None:
        iris = self.iris
        lists = {"assets": iris.assets, "iocs": iris.iocs, "tasks": iris.tasks, "evidences": iris.evidences}
        if names[0] in lists and len(names) == 1:
            self.paged(lists[names[0]], "data")
        elif iris.release == BETA:
            self.no_page() if names[0] != "notes" or len(names) > 1 else self.says(b"", 405)
        elif names == ["notes"]:
            self.v2(iris.notes)
        elif names == ["notes-directories"]:
            self.paged([{"id": 5, "name": "Findings", "note_count": 2, "subdirectories": []}], "data")
        elif names == ["datastore", "tree"]:
            self.v2(iris.tree())
        elif names == ["datastore", "files"]:
            self.paged(iris.files, "data")
        elif names[:2] == ["datastore", "files"] and names[2].isdigit():
            self._content(int(names[2]))
        else:
            self.no_page()

    def _older(self, path: str) -> None:
        iris = self.iris
        if path == "/api/versions":
            self.older({"iris_current": iris.release, "api_min": "2.0.4", "api_current": "2.0.5"})
        elif path == "/manage/cases/list":
            listed = {"case_id": CASE, "case_name": iris.case["case_name"], "case_open_date": "01/12/2026"}
            self.older([listed, {**listed, "case_id": 7, "case_name": "#7 - Older"}])
        elif path == "/alerts/filter":
            self._alerts(envelope=True)
        elif path.startswith("/manage/cases/"):
            of_this = int(path.rsplit("/", 1)[-1]) == CASE and CASE in iris.readable
            self.older(iris.case) if of_this else self.older(None, "Permission denied", 403)
        elif self.query.get("cid") != str(CASE) or CASE not in iris.readable:
            self.older({"case_id": self.query.get("cid")}, "Permission denied", 403)
        else:
            self._older_of_case(path)

    def _older_of_case(self, path: str) -> None:
        iris = self.iris
        last = path.rsplit("/", 1)[-1]
        lists: dict[str, Any] = {
            "/case/timeline/events/list": {"timeline": [listed(event) for event in iris.events], "state": {}},
            "/case/assets/list": {"assets": [as_listed(one) for one in iris.assets], "state": {}},
            "/case/ioc/list": {"ioc": iris.iocs, "state": {}},
            "/case/tasks/list": {"tasks_status": [], "tasks": [as_task(one) for one in iris.tasks], "state": {}},
            "/case/evidences/list": {"evidences": iris.evidences, "state": {}},
            "/case/notes/directories/filter": [directory(iris.notes)],
            "/datastore/list/tree": iris.tree(),
        }
        if path in lists:
            self.older(lists[path])
        elif path.startswith("/case/timeline/events/"):
            self._one([event for event in iris.events if str(event["event_id"]) == last], "Invalid event ID")
        elif path.startswith("/case/notes/"):
            self._one([note for note in iris.notes if str(note["note_id"]) == last], "Invalid note ID")
        elif path.startswith("/datastore/file/view/"):
            self._content(int(last))
        else:
            self.no_page()

    def _one(self, found: list[Any], message: str) -> None:
        self.older(found[0]) if found else self.older(None, f"{message} for this case", 400)

    def _alerts(self, *, envelope: bool) -> None:
        self.iris.on_alerts(self.query)
        ours = [one for one in self.iris.alerts if int(self.query["case_id"]) in one["cases"]]
        if "alert_ids" in self.query:
            asked = {int(number) for number in self.query["alert_ids"].split(",")}
            ours = [one for one in ours if one["alert_id"] in asked]
        if int(self.query.get("page", 1)) % 2 == 0:
            ours.reverse()  # rows of one time are in no order; PostgreSQL may sort them differently for each page
        ours.sort(key=lambda one: str(one["alert_source_event_time"]), reverse=self.query.get("sort") == "desc")
        if "fields" in self.query:
            ours = [{name: one[name] for name in self.query["fields"].split(",")} for one in ours]
        self.paged(ours, "alerts" if envelope else "data", envelope=envelope)

    def _content(self, number: int) -> None:
        """A file's bytes, with ranges, as Flask's `send_file` answers."""
        content = self.iris.contents.get(number)
        if content is None:
            self.older(None, f"File {FOLDER}/dsf-{number} does not exists on the server.", 400)
            return
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()[:16]}"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.iris.cut_after
        if cut and len(content) - start > cut:
            self.wfile.write(content[start : start + cut])
            self.close_connection = True
        else:
            self.wfile.write(content[start:])


def case_record() -> dict[str, Any]:
    return {
        "case_id": CASE, "case_name": f"#{CASE} - Ransomware at Contoso", "open_date": "2026-01-12",
        "close_date": "2026-02-01", "state_name": "Closed", "customer_name": "Contoso", "custom_attributes": None,
    }  # fmt: skip


def event(number: int, **changes: Any) -> dict[str, Any]:
    """An event as `/case/timeline/events/<id>` has it; `category_name` is only in the list."""
    return {
        "event_id": number, "event_uuid": f"8f1e5d5e-0000-4000-8000-{number:012}", "parent_event_id": None,
        "case_id": CASE, "event_title": f"Event {number}", "event_source": "EDR", "event_content": "what was seen",
        "event_raw": "Jan 12 10:00:00 DC01 sshd[4]: Accepted", "event_date": "2026-01-12T08:00:00.000000",
        "event_date_wtz": "2026-01-12T10:00:00.000000", "event_tz": "+02:00",
        "event_added": "2026-01-13T09:00:00.123456", "event_in_graph": True, "event_in_summary": False,
        "event_color": "#1572E899", "event_tags": "edr,dc", "event_is_flagged": False, "user_id": 3,
        "modification_history": {"1768294800.5": {"user": "ada", "user_id": 3, "action": "created"}},
        "custom_attributes": None, "event_assets": [1, 2], "event_iocs": [4], "event_category_id": 5,
        "event_comments_map": [], "children": [], "category_name": "Initial Access",
    } | changes  # fmt: skip


def events() -> list[dict[str, Any]]:
    return [
        event(11),
        event(12, event_date="2026-01-12T09:30:00.250000", event_date_wtz="2026-01-12T09:30:00.250000",
              event_tz="+00:00", category_name="Command and Control", event_assets=[]),
        event(13, event_date="2026-01-12T12:00:00.000000", event_date_wtz="2026-01-12T06:00:00.000000",
              event_tz="-05:00", category_name="Legitimate", event_assets=[2]),
    ]  # fmt: skip


LISTED = (
    "event_id", "event_uuid", "event_date", "event_date_wtz", "event_tz", "event_title", "event_color", "event_tags",
    "event_content", "event_in_summary", "event_in_graph", "category_name", "event_category_id",
)  # fmt: skip


def listed(record: dict[str, Any]) -> dict[str, Any]:
    """An event's row in `/case/timeline/events/list`."""
    return {name: record[name] for name in LISTED if name in record} | {"iocs": []}


def assets() -> list[dict[str, Any]]:
    def asset(number: int, name: str, kind: str) -> dict[str, Any]:
        return {
            "asset_id": number, "asset_name": name, "asset_ip": "10.0.0.5", "case_id": CASE, "asset_type_id": 9,
            "asset_type": {"asset_id": 9, "asset_name": kind}, "asset_compromise_status_id": 1,
        }  # fmt: skip

    return [asset(1, "DC01.contoso.local", "Windows - DC"), asset(2, "svc-backup", "Windows Account - AD - Service")]


def as_listed(asset: dict[str, Any]) -> dict[str, Any]:
    """An asset as the older list has it: the type is text."""
    return {**asset, "asset_type": asset["asset_type"]["asset_name"], "link": []}


def iocs() -> list[dict[str, Any]]:
    return [{"ioc_id": 4, "ioc_value": "evil.example", "ioc_type_id": 20, "ioc_tags": "c2", "ioc_tlp_id": 2}]


def tasks() -> list[dict[str, Any]]:
    return [{"id": 6, "task_title": "Image the server", "task_description": "with dd", "task_case_id": CASE}]


def as_task(task: dict[str, Any]) -> dict[str, Any]:
    """A task as the older list has it."""
    return {"task_id": task["id"], **{key: value for key, value in task.items() if key != "id"}, "task_assignees": []}


def notes() -> list[dict[str, Any]]:
    return [
        {"note_id": number, "note_title": f"Note {number}", "note_content": f"# Findings\n\n{text}",
         "note_case_id": CASE, "directory_id": 5, "directory": {"id": 5, "name": "Findings"}, "comments": []}
        for number, text in ((31, "The whole text."), (32, "And ímynd, too."))
    ]  # fmt: skip


def directory(held: list[dict[str, Any]]) -> dict[str, Any]:
    """The directory of the notes as the older route has it."""
    listed_notes = [{"id": note["note_id"], "title": note["note_title"]} for note in held]
    return {"id": 5, "name": "Findings", "note_count": len(held), "subdirectories": [], "notes": listed_notes}


def file_record(number: int, name: str, content: bytes, **changes: Any) -> dict[str, Any]:
    """A file of the datastore; IRIS writes digests in upper case."""
    return {
        "file_id": number, "file_uuid": f"f0000000-0000-4000-8000-{number:012}", "file_original_name": name,
        "file_local_name": f"{FOLDER}/datastore/Regulars/case-{CASE}/dsf-{number}",
        "file_description": "", "file_date_added": "2026-01-14T11:22:33.000444", "file_tags": "disk",
        "file_size": len(content), "file_is_ioc": False, "file_is_evidence": False, "file_password": "",
        "file_parent_id": 2, "file_sha256": hashlib.sha256(content).hexdigest().upper(), "added_by_user_id": 3,
        "modification_history": None, "file_case_id": CASE,
    } | changes  # fmt: skip


def files() -> list[dict[str, Any]]:
    infected = {"file_is_ioc": True, "file_password": PASSWORD, "file_parent_id": 3}
    return [
        file_record(7, "disk ímynd.dd", DISK, file_is_evidence=True),
        file_record(8, "evil.exe", MALWARE, **infected),
        file_record(9, "pasted.png", PASTED, file_size=None, file_tags="notes", file_parent_id=2),
    ]


def evidence(number: int, name: str, digest: str, **changes: Any) -> dict[str, Any]:
    """An entry of the evidence register."""
    return {
        "id": number, "file_uuid": f"e0000000-0000-4000-8000-{number:012}", "filename": name, "file_hash": digest,
        "file_size": 500_107_862_016, "file_description": "Seized", "date_added": "2026-01-14T12:00:00",
        "acquisition_date": None, "start_date": None, "end_date": None, "case_id": CASE, "user_id": 3, "type_id": 1,
        "chain_of_custody": None, "custom_attributes": None,
        "type": {"id": 1, "name": "HDD image - DD - Other"},
    } | changes  # fmt: skip


def evidences() -> list[dict[str, Any]]:
    return [evidence(1, "disk ímynd.dd", hashlib.sha256(DISK).hexdigest().upper())]


def alert(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "alert_id": number, "alert_uuid": f"a0000000-0000-4000-8000-{number:012}", "alert_title": f"Alert {number}",
        "alert_description": "Contoso user performed 11 suspicious activities", "alert_source": "SIEM",
        "alert_source_ref": f"ref-{number}", "alert_source_content": {"_id": "603f704aaf7417985bbf3b22", "n": number},
        "alert_severity_id": 5, "severity": {"severity_id": 5, "severity_name": "High", "severity_description": "High"},
        "alert_source_event_time": f"2026-01-12T08:00:{number:02}.500000",
        "alert_creation_time": "2026-01-12T09:00:00", "alert_customer_id": 1, "cases": [CASE], "comments": [],
        "assets": [{"asset_name": "WS-7", "asset_type": {"asset_name": "Windows - Computer"}}], "iocs": [],
    } | changes  # fmt: skip


def zipped(content: bytes, password: str) -> bytes:
    """A ZIP with one member, encrypted by the classic cipher of ZIP, as IRIS packs malware; stored, not compressed."""
    name, crc = hashlib.sha256(content).hexdigest().upper(), zlib.crc32(content)
    table = [_crc_of(byte) for byte in range(256)]
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = table[(keys[0] ^ byte) & 0xFF] ^ (keys[0] >> 8)
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = table[(keys[2] ^ (keys[1] >> 24)) & 0xFF] ^ (keys[2] >> 8)

    for byte in password.encode():
        update(byte)
    secret = bytearray()
    for byte in bytes(11) + bytes([crc >> 24]) + content:
        mixed = keys[2] | 2
        secret.append(byte ^ (((mixed * (mixed ^ 1)) >> 8) & 0xFF))
        update(byte)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), bytes(secret))
    raw = bytearray(made.getvalue())
    for mark, flags, sums in ((b"PK\x03\x04", 6, 14), (b"PK\x01\x02", 8, 16)):
        at = raw.rindex(mark) if mark == b"PK\x01\x02" else raw.index(mark)
        raw[at + flags] |= 1
        raw[at + sums : at + sums + 12] = (
            crc.to_bytes(4, "little") + len(secret).to_bytes(4, "little") + len(content).to_bytes(4, "little")
        )
    return bytes(raw)


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ 0xEDB88320 if byte & 1 else byte >> 1
    return byte
