"""A server that speaks the wire of Timesketch: TLS, the sign-in form with its CSRF token, sketches, the export stream.

Paths, redirects, cookies, fields and refusals are those that Timesketch 20261014 sent to the same calls when it was
started from its package, with its answers shortened to what a reader could see. A test changes the attributes.
"""

from __future__ import annotations

import html
import json
import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.certificates import Authority

USER, PASSWORD = "robot", "pä ss&wörd"
SKETCH, INDEX, OTHER_SKETCH = 42, "a1b2c3", 43
BEGAN = 1_714_557_600_000_000  # microseconds
LOGIN_PAGE = """<!doctype html><html lang="en"><head><meta name="csrf-token" content="{token}"/></head><body>
<form method="post"><input class="input" name="username"> <input type="password" class="input" name="password">
<input id="csrf_token" name="csrf_token" type="hidden" value="{token}"></form></body></html>"""
HOME_PAGE = '<!doctype html><html><head><meta name="csrf-token" content="{token}"/></head><body></body></html>'


class TimesketchServer:
    """One Timesketch with one sketch.

    Args:
        folder: for the certificate.

    Attributes:
        certificate: PEM file that clients must trust.
        asked: method and path with query of each request, in order.
        events: of the sketch, as the export stream sends them.
        lines: what the stream sends instead of `events`, if anything.
        cut: end the stream without its end.
        timelines: name → state.
        state: of the sketch.
        counts: what the next counts say; the last one again and again; the number of events if empty.
        stats: what the sketch says of the events of its timelines.
        comments: id of an event → its comments.
        sketches: number of sketches in the list.
        rows: each page of the list instead, without an end.
        knows_form: whether the sign-in page has a token.
        lets_in: whether passwords count; otherwise only a proxy signs in.
        has_stream: whether the export stream is there, as from release 20251219 on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asked: list[str] = []
        self.heads: list[dict[str, str]] = []
        self.events = [event(number) for number in (3, 1, 2)]
        self.lines: Iterable[bytes] | None = None
        self.cut = False
        self.timelines = {"plaso": "ready"}
        self.state = "new"
        self.counts: list[Any] = []
        self.stats: dict[str, Any] = {}
        self.comments: dict[str, list[dict[str, Any]]] = {}
        self.sketches = 1
        self.rows: list[Any] = []
        self.knows_form = True
        self.lets_in = True
        self.has_stream = True
        self.sessions: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        authority = Authority(self._folder)
        context, self.certificate = authority.sign("server").server_context(), authority.certificate
        handler = type("BoundExchange", (_Exchange,), {"timesketch": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *of: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def stream(self) -> Iterable[bytes]:
        if self.lines is not None:
            return self.lines
        return (json.dumps(event).encode() + b"\n" for event in self.events)

    def next_count(self) -> Any:
        if not self.counts:
            return len(self.events)
        return self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]


def event(number: int, *labels: str, sketch: int = SKETCH, **fields: Any) -> dict[str, Any]:
    """An event as the export stream sends it."""
    found = {
        "message": f"Login {number}",
        "datetime": f"2024-05-01T10:00:{number % 60:02}+00:00",
        "timestamp": BEGAN + number * 1_000_000,
        "timestamp_desc": "Logon Time",
        "tag": ["logon"],
        "__ts_timeline_id": 7,
        "_id": f"doc-{number}",
        "_index": INDEX,
    }
    if labels:
        found["timesketch_label"] = [{"name": name, "user_id": 1, "sketch_id": sketch} for name in labels]
    return {**found, **fields}


def comment(number: int, text: str) -> dict[str, Any]:
    at = "Sat, 28 Nov 2026 19:41:26 GMT"
    return {"id": number, "comment": text, "user": {"username": "ann"}, "created_at": at, "updated_at": at}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that refuse the certificate or disconnect."""


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    timesketch: TimesketchServer

    def log_message(self, *of: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.timesketch.asked.append(f"{self.command} {self.path}")
        self.timesketch.heads.append(dict(self.headers))
        parts = urlsplit(self.path)
        with suppress(ConnectionError):
            if parts.path == "/login/":
                self._login(body)
            elif self.command == "POST" and not self._has_token(self.headers.get("X-CSRFToken", "")):
                self._say({"message": "The CSRF token is missing."}, 400)
            elif not self._session().get("user"):
                self._redirect(f"/login/?next={parts.path}")
            elif parts.path == "/":
                self._page(HOME_PAGE)
            else:
                self._api(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}, body)

    def _login(self, body: bytes) -> None:
        server = self.timesketch
        if self.headers.get("X-Signed-In-By-Proxy"):
            self._start_session({"user": USER, "token": secrets.token_hex(8)})
            self._redirect("/")
        elif self.command == "GET":
            self._start_session({"token": secrets.token_hex(8)})
            self._page(LOGIN_PAGE if server.knows_form else "<html></html>")
        else:
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if not self._has_token(form.get("csrf_token", "")):
                self._say({"message": "The CSRF token is missing."}, 400)
            elif not server.lets_in:
                self._say({"message": "Local authentication is disabled for this user."}, 401)
            elif (form["username"], form["password"]) != (USER, PASSWORD):
                self._page(LOGIN_PAGE)
            else:
                self._start_session({**self._session(), "user": USER})
                self._redirect("/")

    def _api(self, path: str, query: dict[str, str], body: bytes) -> None:
        server, own = self.timesketch, f"/api/v1/sketches/{SKETCH}/"
        if path == "/api/v1/sketches/":
            self._list(int(query["page"]), int(query["per_page"]))
        elif path == own:
            self._say({"meta": self._meta(), "objects": [self._sketch()]})
        elif path == f"{own}stories/":
            self._say({"meta": {}, "objects": [[{"id": 1, "title": "How they came in", "content": "[]"}]]})
        elif path == f"{own}event/":
            self._say({"meta": {"comments": server.comments[query["event_id"]]}, "objects": {}})
        elif path == f"{own}explore/" and json.loads(body)["count"]:
            self._say({"meta": {"total_count": server.next_count()}, "objects": []})
        elif path == f"{own}exportstream/" and server.has_stream:
            self._export(json.loads(body))
        else:
            self._say({"message": "No sketch found with this ID."}, 404)

    def _export(self, query: dict[str, Any]) -> None:
        server = self.timesketch
        assert query == {"query": "*", "fields": "*", "filter": {"indices": [7]}}, query
        self.send_response(200)
        self.send_header("Content-Type", "application/x-json-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in server.stream():
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        if server.cut:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _sketch(self) -> dict[str, Any]:
        timelines = [
            {"id": 7 + place, "name": name, "status": [{"id": place, "status": state}], "searchindex": {}}
            for place, (name, state) in enumerate(self.timesketch.timelines.items())
        ]
        status = [{"id": 1, "status": self.timesketch.state}]
        return {"id": SKETCH, "name": "Ares", "description": "Ransom", "status": status, "timelines": timelines}

    def _meta(self) -> dict[str, Any]:
        attributes = {"ticket": {"ontology": "text", "values": ["INC-7"]}}
        other = {"aggregators": {"a": 1}, "emojis": {}, "mappings": [], "views": []}
        return {**other, "attributes": attributes, "stats_per_timeline": self.timesketch.stats}

    def _list(self, page: int, per_page: int) -> None:
        numbers = range(1, self.timesketch.sketches + 1)[(page - 1) * per_page : page * per_page]
        rows = [{"id": n, "name": f"Sketch {n}", "created_at": "2026-11-28 19:41:24", "status": "new"} for n in numbers]
        has_next = page * per_page < self.timesketch.sketches
        endless = bool(self.timesketch.rows)
        meta = {"has_next": has_next or endless, "current_page": page}
        self._say({"meta": meta, "objects": self.timesketch.rows or rows})

    def _session(self) -> dict[str, Any]:
        cookies = dict(part.strip().partition("=")[::2] for part in self.headers.get("Cookie", "").split(";"))
        return self.timesketch.sessions.get(cookies.get("session", ""), {})

    def _has_token(self, token: str) -> bool:
        """Whether the token is that of the session, and the request comes from a page of this server."""
        same_site = self.headers.get("Referer", "").startswith(f"https://{self.headers['Host']}/")
        return bool(token) and token == self._session().get("token") and same_site

    def _start_session(self, session: dict[str, Any]) -> None:
        self._cookie = secrets.token_urlsafe(16)
        self.timesketch.sessions[self._cookie] = session

    def _redirect(self, where: str) -> None:
        self._send(302, "text/html", b"<p>Redirecting...", Location=where)

    def _page(self, page: str) -> None:
        known = self.timesketch.sessions.get(getattr(self, "_cookie", ""), self._session())
        self._send(200, "text/html", page.replace("{token}", html.escape(known.get("token", ""))).encode())

    def _say(self, said: Any, code: int = 200) -> None:
        self._send(code, "application/json", json.dumps(said).encode() + b"\n")

    def _send(self, code: int, kind: str, body: bytes, **heads: str) -> None:
        self.send_response(code)
        for name, value in {**heads, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if cookie := self.__dict__.pop("_cookie", ""):
            self.send_header("Set-Cookie", f"session={cookie}; HttpOnly; Path=/")
        self.end_headers()
        self.wfile.write(body)
